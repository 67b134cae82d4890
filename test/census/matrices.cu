// SPDX-License-Identifier: Apache-2.0
// Matrices of warps: every shape and type of nvcuda::wmma.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

namespace {

using namespace nvcuda::wmma;

template <int M, int N, int K, typename In, typename Out, typename LayoutA, typename LayoutB,
          typename Stored>
__device__ void multiply(const Stored* a, const Stored* b, Out* c) {
    fragment<matrix_a, M, N, K, In, LayoutA> left;
    fragment<matrix_b, M, N, K, In, LayoutB> right;
    fragment<accumulator, M, N, K, Out> sum;
    load_matrix_sync(left, a, 64);
    load_matrix_sync(right, b, 64);
    load_matrix_sync(sum, c, 64, mem_row_major);
    mma_sync(sum, left, right, sum);
    store_matrix_sync(c, sum, 64, mem_row_major);
    load_matrix_sync(sum, c, 64, mem_col_major);
    mma_sync(sum, left, right, sum);
    store_matrix_sync(c, sum, 64, mem_col_major);
}

template <int M, int N, int K, typename In, typename Out, typename Stored = In>
__device__ void layouts(const void* a, const void* b, void* c) {
    multiply<M, N, K, In, Out, row_major, row_major>((const Stored*)a, (const Stored*)b, (Out*)c);
    multiply<M, N, K, In, Out, row_major, col_major>((const Stored*)a, (const Stored*)b, (Out*)c);
    multiply<M, N, K, In, Out, col_major, row_major>((const Stored*)a, (const Stored*)b, (Out*)c);
    multiply<M, N, K, In, Out, col_major, col_major>((const Stored*)a, (const Stored*)b, (Out*)c);
}

template <typename In, typename Out>
__device__ void shapes(const void* a, const void* b, void* c) {
    layouts<16, 16, 16, In, Out>(a, b, c);
    layouts<32, 8, 16, In, Out>(a, b, c);
    layouts<8, 32, 16, In, Out>(a, b, c);
}

__global__ void halves(const void* a, const void* b, void* c) {
    shapes<__half, float>(a, b, c);
    shapes<__half, __half>(a, b, c);
}

__global__ void bytes(const void* a, const void* b, void* c) {
    shapes<signed char, int>(a, b, c);
    shapes<unsigned char, int>(a, b, c);
}

__global__ void shared(float* c) {
    __shared__ __half tile[16 * 64];
    __shared__ float sum[16 * 64];
    multiply<16, 16, 16, __half, float, row_major, col_major>(tile, tile, sum);
    c[threadIdx.x] = sum[threadIdx.x];
}

template <typename In>
__device__ void of_nibbles(const void* a, const void* b, int* c) {
    multiply<8, 8, 32, In, int, row_major, col_major>((const int*)a, (const int*)b, c);
}

__global__ void nibbles(const void* a, const void* b, int* c) {
    of_nibbles<experimental::precision::s4>(a, b, c);
    of_nibbles<experimental::precision::u4>(a, b, c);
}

__global__ void single_bits(const void* a, const void* b, int* c) {
    fragment<matrix_a, 8, 8, 128, experimental::precision::b1, row_major> left;
    fragment<matrix_b, 8, 8, 128, experimental::precision::b1, col_major> right;
    fragment<accumulator, 8, 8, 128, int> sum;
    load_matrix_sync(left, (const int*)a, 128);
    load_matrix_sync(right, (const int*)b, 128);
    fill_fragment(sum, 0);
    bmma_sync(sum, left, right, sum);
#if __CUDA_ARCH__ >= 800
    bmma_sync(sum, left, right, sum, experimental::bmmaBitOpAND);
#endif
    store_matrix_sync(c, sum, 8, mem_row_major);
}

#if __CUDA_ARCH__ >= 800
__global__ void brains(const void* a, const void* b, void* c) {
    shapes<__nv_bfloat16, float>(a, b, c);
}

__global__ void others(const void* a, const void* b, void* c) {
    layouts<16, 16, 8, precision::tf32, float, float>(a, b, c);
    layouts<8, 8, 4, double, double>(a, b, c);
}
#endif

}  // namespace
