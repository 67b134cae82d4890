// SPDX-License-Identifier: Apache-2.0
// Atomics, fences, latches, barriers and semaphores of libcu++, in each scope, order and type.
#include <cuda/atomic>
#include <cuda/barrier>
#include <cuda/latch>
#include <cuda/semaphore>
#include <cuda/std/complex>

namespace {

template <typename T, cuda::thread_scope Scope>
__device__ void orders(T* at, T value, T* out) {
    using namespace cuda::std;
    cuda::atomic_ref<T, Scope> place(*at);
    T expected = value;
    out[0] = place.load(memory_order_relaxed);
    out[1] = place.load(memory_order_acquire);
    out[2] = place.load(memory_order_seq_cst);
    place.store(value, memory_order_relaxed);
    place.store(value, memory_order_release);
    place.store(value, memory_order_seq_cst);
    out[3] = place.exchange(value, memory_order_relaxed);
    out[4] = place.exchange(value, memory_order_acquire);
    out[5] = place.exchange(value, memory_order_release);
    out[6] = place.exchange(value, memory_order_acq_rel);
    out[7] = place.exchange(value, memory_order_seq_cst);
    out[8] = place.compare_exchange_strong(expected, value, memory_order_acq_rel);
    out[9] = place.compare_exchange_weak(expected, value, memory_order_relaxed);
    out[10] = place.compare_exchange_strong(expected, value);
}

template <typename T, cuda::thread_scope Scope>
__device__ void sums(T* at, T value, T* out) {
    using namespace cuda::std;
    cuda::atomic_ref<T, Scope> place(*at);
    out[0] = place.fetch_add(value, memory_order_relaxed);
    out[1] = place.fetch_sub(value, memory_order_acquire);
    out[2] = place.fetch_add(value, memory_order_release);
    out[3] = place.fetch_add(value);
    place.fetch_add(value, memory_order_relaxed);
    out[4] = place.fetch_min(value, memory_order_relaxed);
    out[5] = place.fetch_max(value, memory_order_acq_rel);
}

template <typename T, cuda::thread_scope Scope>
__device__ void bits(T* at, T value, T* out) {
    using namespace cuda::std;
    cuda::atomic_ref<T, Scope> place(*at);
    out[0] = place.fetch_and(value, memory_order_relaxed);
    out[1] = place.fetch_or(value, memory_order_acq_rel);
    out[2] = place.fetch_xor(value);
    place.fetch_or(value, memory_order_relaxed);
}

template <cuda::thread_scope Scope>
__device__ void each_type(char* at, char* out, long long value) {
    using cuda::std::complex;
    orders<char, Scope>(at, char(value), out);
    orders<short, Scope>((short*)at, short(value), (short*)out);
    orders<int, Scope>((int*)at, int(value), (int*)out);
    orders<long long, Scope>((long long*)at, value, (long long*)out);
    orders<float, Scope>((float*)at, float(value), (float*)out);
    orders<double, Scope>((double*)at, double(value), (double*)out);
    sums<int, Scope>((int*)at, int(value), (int*)out);
    sums<unsigned, Scope>((unsigned*)at, unsigned(value), (unsigned*)out);
    sums<long long, Scope>((long long*)at, value, (long long*)out);
    sums<unsigned long long, Scope>((unsigned long long*)at, value, (unsigned long long*)out);
    sums<short, Scope>((short*)at, short(value), (short*)out);
    sums<float, Scope>((float*)at, float(value), (float*)out);
    sums<double, Scope>((double*)at, double(value), (double*)out);
    bits<int, Scope>((int*)at, int(value), (int*)out);
    bits<unsigned long long, Scope>((unsigned long long*)at, value, (unsigned long long*)out);
    bits<unsigned char, Scope>((unsigned char*)at, value, (unsigned char*)out);
    cuda::atomic_thread_fence(cuda::std::memory_order_acquire, Scope);
    cuda::atomic_thread_fence(cuda::std::memory_order_release, Scope);
    cuda::atomic_thread_fence(cuda::std::memory_order_acq_rel, Scope);
    cuda::atomic_thread_fence(cuda::std::memory_order_seq_cst, Scope);
}

__global__ void of_a_block(char* at, char* out, long long value) {
    each_type<cuda::thread_scope_block>(at, out, value);
}

__global__ void of_the_device(char* at, char* out, long long value) {
    each_type<cuda::thread_scope_device>(at, out, value);
}

__global__ void of_the_system(char* at, char* out, long long value) {
    each_type<cuda::thread_scope_system>(at, out, value);
}

__global__ void in_shared_memory(char* out, long long value) {
    __shared__ long long place[8];
    each_type<cuda::thread_scope_block>((char*)place, out, value);
    *(int*)out = __shfl_sync(~0u, atomicAdd_block((int*)place, 1), 0);
    atomicMin((unsigned long long*)place, value);
    *(double*)out = atomicAdd((double*)place, 1.0);
    atomicExch((float*)place, 1.0f);
    *(short*)out = atomicCAS((unsigned short*)place, (unsigned short)1, (unsigned short)2);
}

__global__ void waiting(cuda::barrier<cuda::thread_scope_device>* far,
                        cuda::latch<cuda::thread_scope_device>* latch,
                        cuda::counting_semaphore<cuda::thread_scope_device, 4>* semaphore,
                        int* out) {
    __shared__ cuda::barrier<cuda::thread_scope_block> near;
    if (threadIdx.x == 0) init(&near, blockDim.x);
    __syncthreads();
    near.arrive_and_wait();
    auto token = near.arrive(2);
    *out = near.try_wait_for(std::move(token), cuda::std::chrono::nanoseconds(100));
    *out += near.try_wait_parity_for(true, cuda::std::chrono::nanoseconds(100));
    near.wait_parity(false);
    near.arrive_and_drop();
    far->arrive_and_wait();
    latch->arrive_and_wait();
    semaphore->acquire();
    *out += semaphore->try_acquire_for(cuda::std::chrono::milliseconds(1));
    semaphore->release();
}

}  // namespace
