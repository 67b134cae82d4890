// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>

#include "test/cublas/trsm.h"

namespace cubar::cublas {
namespace {

constexpr int kThreads = 64;

/// Each thread solves for one column of X, or for one row of it where A stands on the right.
__global__ void solve(Trsm problem) {
    const bool left = problem.side == CUBLAS_SIDE_LEFT;
    const int line = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (line >= (left ? problem.n : problem.m)) return;
    const float* a = problem.a[blockIdx.y];
    float* b = problem.b[blockIdx.y];
    const int order = left ? problem.m : problem.n;
    // X * op(A) = B is op(A)^T * X^T = B^T, so the right side solves with the other operation.
    const bool transposed = (problem.operation != CUBLAS_OP_N) == left;
    const bool forward = (problem.fill == CUBLAS_FILL_MODE_LOWER) != transposed;
    const auto coefficient = [&](int row, int column) {
        return transposed ? a[column + std::size_t(row) * problem.a_leading]
                          : a[row + std::size_t(column) * problem.a_leading];
    };
    const auto unknown = [&](int index) -> float& {
        return left ? b[index + std::size_t(line) * problem.b_leading]
                    : b[line + std::size_t(index) * problem.b_leading];
    };
    for (int step = 0; step < order; ++step) {
        const int row = forward ? step : order - 1 - step;
        float value = problem.alpha * unknown(row);
        for (int known = 0; known < step; ++known) {
            const int column = forward ? known : order - 1 - known;
            value -= coefficient(row, column) * unknown(column);
        }
        unknown(row) = problem.diagonal == CUBLAS_DIAG_UNIT ? value : value / coefficient(row, row);
    }
}

}  // namespace

cublasStatus_t trsm(const Trsm& problem, cudaStream_t stream) {
    const int order = problem.side == CUBLAS_SIDE_LEFT ? problem.m : problem.n;
    if (problem.m < 0 || problem.n < 0 || problem.problems < 0 ||
        problem.a_leading < std::max(1, order) || problem.b_leading < std::max(1, problem.m)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const int lines = problem.side == CUBLAS_SIDE_LEFT ? problem.n : problem.m;
    if (lines == 0 || order == 0 || problem.problems == 0) return CUBLAS_STATUS_SUCCESS;
    const dim3 grid(unsigned(lines + kThreads - 1) / kThreads, unsigned(problem.problems));
    solve<<<grid, kThreads, 0, stream>>>(problem);
    return cudaGetLastError() == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                             : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace cubar::cublas
