// SPDX-License-Identifier: Apache-2.0
// Solves op(A) * X = alpha * B or X * op(A) = alpha * B with a triangular A; X takes B's place.
#pragma once

#include <cublas_v2.h>

namespace cubar::cublas {

struct Trsm {
    cublasSideMode_t side = CUBLAS_SIDE_LEFT;
    cublasFillMode_t fill = CUBLAS_FILL_MODE_LOWER;
    cublasOperation_t operation = CUBLAS_OP_N;
    cublasDiagType_t diagonal = CUBLAS_DIAG_NON_UNIT;
    int m = 0;  ///< rows of B
    int n = 0;  ///< columns of B
    float alpha = 1;
    const float* const* a = nullptr;  ///< pointers in device memory, one for each problem
    int a_leading = 0;
    float* const* b = nullptr;
    int b_leading = 0;
    int problems = 0;
};

/// Enqueues it; INVALID_VALUE for impossible shapes.
cublasStatus_t trsm(const Trsm& problem, cudaStream_t stream);

}  // namespace cubar::cublas
