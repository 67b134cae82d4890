// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "test/cublas/gemm.h"

namespace cubar::cublas {
namespace {

// A block makes a tile of kTile x kTile; each of its threads makes kEach x kEach of it.
constexpr int kTile = 32;
constexpr int kSide = 16;
constexpr int kEach = kTile / kSide;
constexpr int kDepth = 16;

__device__ float to_float(float value) {
    return value;
}
__device__ float to_float(__half value) {
    return __half2float(value);
}
__device__ float to_float(__nv_bfloat16 value) {
    return __bfloat162float(value);
}
__device__ void put(float& to, float value) {
    to = value;
}
__device__ void put(__half& to, float value) {
    to = __float2half_rn(value);
}
__device__ void put(__nv_bfloat16& to, float value) {
    to = __float2bfloat16_rn(value);
}

template <typename T>
__device__ T* matrix(const Batch& batch, unsigned problem) {
    const void* base = batch.array != nullptr ? batch.array[problem] : batch.first;
    T* first = const_cast<T*>(static_cast<const T*>(base));
    return batch.array != nullptr ? first : first + problem * batch.stride;
}

/// op(matrix)[row][column]; zero outside of its rows and columns.
template <typename T>
__device__ float element(const T* values, const Operand& operand, int row, int column, int rows,
                         int columns) {
    if (row >= rows || column >= columns) return 0;
    const bool plain = operand.operation == CUBLAS_OP_N;
    const std::size_t at = plain ? row + std::size_t(column) * operand.leading
                                 : column + std::size_t(row) * operand.leading;
    return to_float(values[at]);
}

template <typename TA, typename TB, typename TC>
__global__ void multiply(Gemm problem) {
    __shared__ float a_tile[kDepth][kTile + 1];
    __shared__ float b_tile[kDepth][kTile + 1];
    const TA* a = matrix<const TA>(problem.a.batch, blockIdx.z);
    const TB* b = matrix<const TB>(problem.b.batch, blockIdx.z);
    TC* c = matrix<TC>(problem.c.batch, blockIdx.z);
    const int row0 = int(blockIdx.x) * kTile;
    const int column0 = int(blockIdx.y) * kTile;
    const int thread = int(threadIdx.y) * kSide + int(threadIdx.x);
    float sums[kEach][kEach] = {};
    for (int depth0 = 0; depth0 < problem.k; depth0 += kDepth) {
        for (int at = thread; at < kDepth * kTile; at += kSide * kSide) {
            const int depth = at / kTile;
            const int side = at % kTile;
            a_tile[depth][side] =
                element(a, problem.a, row0 + side, depth0 + depth, problem.m, problem.k);
            b_tile[depth][side] =
                element(b, problem.b, depth0 + depth, column0 + side, problem.k, problem.n);
        }
        __syncthreads();
        for (int depth = 0; depth < kDepth; ++depth) {
            for (int i = 0; i < kEach; ++i) {
                for (int j = 0; j < kEach; ++j) {
                    sums[i][j] += a_tile[depth][threadIdx.x + i * kSide] *
                                  b_tile[depth][threadIdx.y + j * kSide];
                }
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < kEach; ++i) {
        for (int j = 0; j < kEach; ++j) {
            const int row = row0 + int(threadIdx.x) + i * kSide;
            const int column = column0 + int(threadIdx.y) + j * kSide;
            if (row >= problem.m || column >= problem.n) continue;
            TC& target = c[row + std::size_t(column) * problem.c.leading];
            // With beta 0 what C held, a NaN too, does not count.
            const float old = problem.beta == 0 ? 0 : problem.beta * to_float(target);
            put(target, problem.alpha * sums[i][j] + old);
        }
    }
}

template <typename TA, typename TB, typename TC>
cublasStatus_t launch(const Gemm& problem, cudaStream_t stream) {
    const auto tiles = [](int length) { return unsigned(length + kTile - 1) / kTile; };
    const dim3 grid(tiles(problem.m), tiles(problem.n), unsigned(problem.problems));
    multiply<TA, TB, TC><<<grid, dim3(kSide, kSide), 0, stream>>>(problem);
    return cudaGetLastError() == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                             : CUBLAS_STATUS_EXECUTION_FAILED;
}

/// As in cuBLAS A and B are of one type.
template <typename TC>
cublasStatus_t launch_into(const Gemm& problem, cudaStream_t stream) {
    switch (problem.a.type) {
        case CUDA_R_32F:
            return launch<float, float, TC>(problem, stream);
        case CUDA_R_16F:
            return launch<__half, __half, TC>(problem, stream);
        case CUDA_R_16BF:
            return launch<__nv_bfloat16, __nv_bfloat16, TC>(problem, stream);
        default:
            return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

/// Whether a column of `rows` stored elements fits between two columns.
bool fits(const Operand& operand, int rows, int columns) {
    return operand.leading >= std::max(1, operand.operation == CUBLAS_OP_N ? rows : columns);
}

}  // namespace

cublasStatus_t gemm(const Gemm& problem, cudaStream_t stream) {
    if (problem.m < 0 || problem.n < 0 || problem.k < 0 || problem.problems < 0 ||
        !fits(problem.a, problem.m, problem.k) || !fits(problem.b, problem.k, problem.n) ||
        !fits(problem.c, problem.m, problem.n)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (problem.a.type != problem.b.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (problem.m == 0 || problem.n == 0 || problem.problems == 0) return CUBLAS_STATUS_SUCCESS;
    switch (problem.c.type) {
        case CUDA_R_32F:
            return launch_into<float>(problem, stream);
        case CUDA_R_16F:
            return launch_into<__half>(problem, stream);
        case CUDA_R_16BF:
            return launch_into<__nv_bfloat16>(problem, stream);
        default:
            return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

}  // namespace cubar::cublas
