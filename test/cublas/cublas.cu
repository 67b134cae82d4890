// SPDX-License-Identifier: Apache-2.0
// A libcublas.so.13 with what llama.cpp's CUDA backend calls, for tests on the software GPU:
// NVIDIA's has no code that it could execute. Never installed. Workspaces and maths modes are
// accepted without effect: nothing here needs the one, and every product is summed in f32, which is
// as exact as any mode asks for.
#include <cuda_fp16.h>

#include <new>

#include "test/cublas/gemm.h"
#include "test/cublas/trsm.h"

using cubar::cublas::Batch;
using cubar::cublas::Gemm;
using cubar::cublas::Operand;
using cubar::cublas::Trsm;

struct cublasContext {
    cudaStream_t stream = nullptr;
};

namespace {

/// Scalars are of the computation's type, and always the host's here.
bool read_scalar(const void* from, cublasComputeType_t type, float& out) {
    switch (type) {
        case CUBLAS_COMPUTE_16F:
        case CUBLAS_COMPUTE_16F_PEDANTIC:
            out = __half2float(*static_cast<const __half*>(from));
            return true;
        case CUBLAS_COMPUTE_32F:
        case CUBLAS_COMPUTE_32F_PEDANTIC:
        case CUBLAS_COMPUTE_32F_FAST_16F:
        case CUBLAS_COMPUTE_32F_FAST_16BF:
        case CUBLAS_COMPUTE_32F_FAST_TF32:
            out = *static_cast<const float*>(from);
            return true;
        default:
            return false;
    }
}

struct Shape {
    int m, n, k;
};

cublasStatus_t run(cublasHandle_t handle, const Shape& shape, const void* alpha, const Operand& a,
                   const Operand& b, const void* beta, const Operand& c, int problems,
                   cublasComputeType_t type = CUBLAS_COMPUTE_32F) {
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    Gemm problem;
    problem.m = shape.m;
    problem.n = shape.n;
    problem.k = shape.k;
    if (!read_scalar(alpha, type, problem.alpha) || !read_scalar(beta, type, problem.beta)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    problem.a = a;
    problem.b = b;
    problem.c = c;
    problem.problems = problems;
    return cubar::cublas::gemm(problem, handle->stream);
}

Batch in_array(const void* const* array) {
    return {.array = array};
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
    if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    // As cuBLAS does, fail here and not in the first product where there is no device.
    if (cudaFree(nullptr) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new (std::nothrow) cublasContext;
    return *handle != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void*, size_t) {
    return handle != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t) {
    return handle != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

const char* cublasGetStatusString(cublasStatus_t status) {
    switch (status) {
        case CUBLAS_STATUS_SUCCESS:
            return "the function completed successfully";
        case CUBLAS_STATUS_NOT_INITIALIZED:
            return "the library was not initialized";
        case CUBLAS_STATUS_ALLOC_FAILED:
            return "the resource allocation failed";
        case CUBLAS_STATUS_INVALID_VALUE:
            return "an invalid value was used";
        case CUBLAS_STATUS_EXECUTION_FAILED:
            return "the function failed to launch on the GPU";
        case CUBLAS_STATUS_NOT_SUPPORTED:
            return "the functionality is not supported";
        default:
            return "an unknown status";
    }
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                              int m, int n, int k, const float* alpha, const float* a, int lda,
                              const float* b, int ldb, const float* beta, float* c, int ldc) {
    return run(handle, {m, n, k}, alpha, {{a, 0, nullptr}, CUDA_R_32F, lda, op_a},
               {{b, 0, nullptr}, CUDA_R_32F, ldb, op_b}, beta,
               {{c, 0, nullptr}, CUDA_R_32F, ldc, CUBLAS_OP_N}, 1);
}

cublasStatus_t cublasSgemmBatched(cublasHandle_t handle, cublasOperation_t op_a,
                                  cublasOperation_t op_b, int m, int n, int k, const float* alpha,
                                  const float* const a[], int lda, const float* const b[], int ldb,
                                  const float* beta, float* const c[], int ldc, int problems) {
    const auto array = [](const void* pointers) {
        return in_array(static_cast<const void* const*>(pointers));
    };
    return run(handle, {m, n, k}, alpha, {array(a), CUDA_R_32F, lda, op_a},
               {array(b), CUDA_R_32F, ldb, op_b}, beta, {array(c), CUDA_R_32F, ldc, CUBLAS_OP_N},
               problems);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a,
                                         cublasOperation_t op_b, int m, int n, int k,
                                         const float* alpha, const float* a, int lda,
                                         long long stride_a, const float* b, int ldb,
                                         long long stride_b, const float* beta, float* c, int ldc,
                                         long long stride_c, int problems) {
    return run(handle, {m, n, k}, alpha, {{a, stride_a, nullptr}, CUDA_R_32F, lda, op_a},
               {{b, stride_b, nullptr}, CUDA_R_32F, ldb, op_b}, beta,
               {{c, stride_c, nullptr}, CUDA_R_32F, ldc, CUBLAS_OP_N}, problems);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void* alpha, const void* a,
                            cudaDataType type_a, int lda, const void* b, cudaDataType type_b,
                            int ldb, const void* beta, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t type, cublasGemmAlgo_t) {
    return run(handle, {m, n, k}, alpha, {{a, 0, nullptr}, type_a, lda, op_a},
               {{b, 0, nullptr}, type_b, ldb, op_b}, beta,
               {{c, 0, nullptr}, type_c, ldc, CUBLAS_OP_N}, 1, type);
}

cublasStatus_t cublasGemmBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                   cublasOperation_t op_b, int m, int n, int k, const void* alpha,
                                   const void* const a[], cudaDataType type_a, int lda,
                                   const void* const b[], cudaDataType type_b, int ldb,
                                   const void* beta, void* const c[], cudaDataType type_c, int ldc,
                                   int problems, cublasComputeType_t type, cublasGemmAlgo_t) {
    return run(handle, {m, n, k}, alpha, {in_array(a), type_a, lda, op_a},
               {in_array(b), type_b, ldb, op_b}, beta, {in_array(c), type_c, ldc, CUBLAS_OP_N},
               problems, type);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType type_a,
                                          int lda, long long stride_a, const void* b,
                                          cudaDataType type_b, int ldb, long long stride_b,
                                          const void* beta, void* c, cudaDataType type_c, int ldc,
                                          long long stride_c, int problems,
                                          cublasComputeType_t type, cublasGemmAlgo_t) {
    return run(handle, {m, n, k}, alpha, {{a, stride_a, nullptr}, type_a, lda, op_a},
               {{b, stride_b, nullptr}, type_b, ldb, op_b}, beta,
               {{c, stride_c, nullptr}, type_c, ldc, CUBLAS_OP_N}, problems, type);
}

cublasStatus_t cublasStrsmBatched(cublasHandle_t handle, cublasSideMode_t side,
                                  cublasFillMode_t fill, cublasOperation_t operation,
                                  cublasDiagType_t diagonal, int m, int n, const float* alpha,
                                  const float* const a[], int lda, float* const b[], int ldb,
                                  int problems) {
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (alpha == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    const Trsm problem{.side = side,
                       .fill = fill,
                       .operation = operation,
                       .diagonal = diagonal,
                       .m = m,
                       .n = n,
                       .alpha = *alpha,
                       .a = a,
                       .a_leading = lda,
                       .b = b,
                       .b_leading = ldb,
                       .problems = problems};
    return cubar::cublas::trsm(problem, handle->stream);
}

}  // extern "C"
