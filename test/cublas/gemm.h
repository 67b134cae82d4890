// SPDX-License-Identifier: Apache-2.0
// C = alpha * op(A) * op(B) + beta * C, column-major, for one or many problems of one shape.
#pragma once

#include <cublas_v2.h>

#include <cstddef>

namespace cubar::cublas {

/// The same operand of every problem of a batch: at a stride, or in an array of pointers that lies
/// in device memory.
struct Batch {
    const void* first = nullptr;
    long long stride = 0;                ///< elements
    const void* const* array = nullptr;  ///< null: `first` and `stride` count
};

struct Operand {
    Batch batch;
    cudaDataType type = CUDA_R_32F;
    int leading = 0;  ///< elements from one column to the next
    cublasOperation_t operation = CUBLAS_OP_N;
};

struct Gemm {
    int m = 0;
    int n = 0;
    int k = 0;
    float alpha = 1;
    float beta = 0;
    Operand a;
    Operand b;
    Operand c;
    int problems = 1;
};

/// Enqueues it. Products are summed in f32 whatever the operands' types.
/// INVALID_VALUE for impossible shapes, NOT_SUPPORTED for types other than f16, bf16 and f32.
cublasStatus_t gemm(const Gemm& problem, cudaStream_t stream);

}  // namespace cubar::cublas
