// SPDX-License-Identifier: Apache-2.0
// Many features of CUDA C++ in one file: the front end must read all that nvcc makes of it.
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_pipeline.h>
#include <mma.h>

#include <cassert>
#include <cstdio>

namespace cg = cooperative_groups;

__constant__ float coefficients[16] = {1.0f, 2.0f, 3.0f};
__device__ int table[4] = {1, -2, 3, 4};
__device__ double accumulators[8];
__device__ const char* names[] = {"first", "second"};
__managed__ int managed_counter;

__device__ int add_one(int x) {
    return x + 1;
}
__device__ int twice(int x) {
    return 2 * x;
}
typedef int (*Unary)(int);
__device__ Unary functions[2] = {add_one, twice};

struct Large {
    float values[100];
    long long tag;
    char bytes[3];
};

__device__ __noinline__ int fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
__device__ __noinline__ Large make_large(int n) {
    Large large;
    for (int i = 0; i < 100; ++i) large.values[i] = n * i;
    large.tag = n;
    return large;
}

extern "C" __global__ void __launch_bounds__(256, 2)
    arithmetic(float* out, const float* in, int n, double d, Large large) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float x = in[i] + large.values[i % 100];
    out[i] = sinf(x) + cosf(x) + expf(x) + logf(x) + rsqrtf(x) + sqrtf(x) + powf(x, 1.5f) +
             tanhf(x) + __sinf(x) + __fdividef(x, 3.0f) + fmaf(x, x, x) + truncf(x) + rintf(x) +
             fminf(x, 2.f);
    accumulators[i & 7] = d / (x + 1.0) + sqrt(d) + fma(d, d, d);
    unsigned u = __float_as_uint(x);
    out[i] += __popc(u) + __clz(u) + __brev(u) + __ffs(u) + __byte_perm(u, i, 0x3210) +
              __dp4a((int)u, i, 3) + __mulhi((int)u, i) + __umul24(u, 7) + __sad(i, n, 3u) +
              __funnelshift_l(u, i, 3) + u % (i + 1) + (long long)u / (i + 1);
    out[i] += coefficients[i & 15] + table[i & 3] + functions[i & 1](i) + fibonacci(i & 7) +
              make_large(i).values[i % 100] + large.bytes[1] + large.tag;
    switch (i) {
        case 0:
            out[i] *= 2;
            break;
        case 1:
            out[i] *= 3;
            break;
        case 2:
            out[i] -= 4;
            break;
        case 3:
            out[i] += 5;
            break;
        case 4:
            out[i] /= 6;
            break;
        case 5:
            out[i] = sinf(out[i]);
            break;
        case 6:
            out[i] = names[i & 1][0];
            break;
        default:
            break;
    }
    printf("%d %f %s\n", i, out[i], names[i & 1]);
    assert(out[i] == out[i]);
}

template <typename T>
__global__ void halves(T* out, const T* in, int n) {
    extern __shared__ unsigned char dynamic[];
    T* tile = reinterpret_cast<T*>(dynamic);
    int i = threadIdx.x;
    tile[i] = in[i] * in[i] + in[i];
    __syncthreads();
    if (tile[i] > tile[i ^ 1] || __hisnan(in[i])) out[i] = hsqrt(tile[i]);
    out[i] = out[i] + T(__half2float(__float2half(float(in[i]))));
}
template __global__ void halves<__half>(__half*, const __half*, int);
template __global__ void halves<__nv_bfloat16>(__nv_bfloat16*, const __nv_bfloat16*, int);

__global__ void pairs(__half2* a, __nv_bfloat162* b) {
    a[0] = __hmul2(a[1], a[2]) + __hfma2(a[1], a[2], a[3]) + h2exp2(a[1]) + __hmin2(a[0], a[1]);
    b[0] = __hmul2(b[1], b[2]);
    a[1] = __hgt2(a[2], a[3]);
}

__global__ void threads(int* out, unsigned long long* big) {
    __shared__ int shared_counter;
    __shared__ double shared_values[64];
    int i = threadIdx.x;
    if (i == 0) shared_counter = 0;
    __syncthreads();
    unsigned mask = __activemask();
    int v = __shfl_xor_sync(0xffffffff, i, 1) + __shfl_up_sync(mask, i, 1) +
            __shfl_down_sync(mask, i, 2) + __shfl_sync(mask, i, 0);
    v += __any_sync(mask, v) + __all_sync(mask, v) + __ballot_sync(mask, v & 1) +
         __match_any_sync(mask, v);
    int predicate;
    v += __match_all_sync(mask, v, &predicate) + predicate;
    atomicAdd(&shared_counter, v);
    atomicCAS(&out[0], 1, 2);
    atomicMax(big, 3ull);
    atomicExch(&out[1], 4);
    atomicInc((unsigned*)&out[2], 7);
    atomicAdd(&shared_values[0], 1.0);
    atomicAdd((float*)out, 1.0f);
    atomicAdd_system(&out[3], 1);
    __threadfence();
    __threadfence_block();
    __threadfence_system();
    v += __syncthreads_count(v) + __syncthreads_and(v) + __syncthreads_or(v);
    __syncwarp();
    __nanosleep(10);
    v += clock() + clock64();
    auto warp = cg::tiled_partition<32>(cg::this_thread_block());
    v += warp.shfl_down(v, 3) + warp.meta_group_rank();
    managed_counter += v;
    out[i] = v + shared_counter;
}

__global__ void matrices(const __half* a, const __half* b, float* c) {
    using namespace nvcuda;
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::fill_fragment(fc, 0.0f);
    wmma::load_matrix_sync(fa, a, 16);
    wmma::load_matrix_sync(fb, b, 16);
    wmma::mma_sync(fc, fa, fb, fc);
    wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
    unsigned r[4];
    asm volatile(
        "{ .reg .u64 p; cvta.to.shared.u64 p, %4; ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 "
        "{%0, %1, %2, %3}, [p]; }"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
        : "l"(a));
    float d[4] = {0, 0, 0, 0};
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(r[0]), "r"(r[1]), "r"(r[2]));
    int s[2] = {0, 0};
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(s[0]), "+r"(s[1])
        : "r"(r[0]), "r"(r[1]));
    c[0] += d[0] + d[1] + d[2] + d[3] + s[0] + s[1];
}

__global__ void copies(float4* out, const float4* in) {
    __shared__ float4 tile[64];
    __pipeline_memcpy_async(&tile[threadIdx.x], &in[threadIdx.x], sizeof(float4));
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x ^ 1];
    float local[32];
    for (int i = 0; i < 32; ++i) local[i] = in[i].x;
    out[1].x = local[threadIdx.x & 31];
    out[2].y = __ldg(&in[3].y) + __ldcs(&in[4].z);
    out[3].x = static_cast<float>(__nv_fp8_e4m3(in[0].x));
}

__global__ void textures(cudaTextureObject_t texture, cudaSurfaceObject_t surface, float* out) {
    out[0] = tex2D<float>(texture, 0.5f, 0.5f) + tex1Dfetch<float>(texture, 3);
    surf2Dwrite(out[1], surface, 4, 0);
}
