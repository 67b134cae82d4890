// SPDX-License-Identifier: Apache-2.0
// Recursive device functions: Fibonacci, Ackermann, quicksort on local memory, mutual recursion.
#include <algorithm>

#include "conformance.h"

namespace {

__device__ __noinline__ unsigned fibonacci(unsigned n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__device__ __noinline__ unsigned ackermann(unsigned m, unsigned n) {
    if (m == 0) return n + 1;
    return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

__device__ bool is_odd(unsigned n);

__device__ __noinline__ bool is_even(unsigned n) {
    return n == 0 || is_odd(n - 1);
}

__device__ __noinline__ bool is_odd(unsigned n) {
    return n != 0 && is_even(n - 1);
}

__device__ __noinline__ void sort(int* values, int low, int high) {
    if (low >= high) return;
    const int pivot = values[(low + high) / 2];
    int left = low, right = high;
    while (left <= right) {
        while (values[left] < pivot) ++left;
        while (values[right] > pivot) --right;
        if (left <= right) {
            const int value = values[left];
            values[left++] = values[right];
            values[right--] = value;
        }
    }
    sort(values, low, right);
    sort(values, left, high);
}

// Every lane recurses to its own depth.
__global__ void numbers(unsigned* out) {
    out[threadIdx.x] = fibonacci(threadIdx.x % 15);
    out[64 + threadIdx.x] = ackermann(threadIdx.x % 3, threadIdx.x % 5);
    out[128 + threadIdx.x] = is_even(threadIdx.x) ? 1 : 0;
}

constexpr int kLength = 24;

__global__ void sort_each(const int* input, int* output) {
    int values[kLength];
    for (int i = 0; i < kLength; ++i) values[i] = input[threadIdx.x * kLength + i];
    sort(values, 0, kLength - 1);
    for (int i = 0; i < kLength; ++i) output[threadIdx.x * kLength + i] = values[i];
}

unsigned fibonacci_on_host(unsigned n) {
    return n < 2 ? n : fibonacci_on_host(n - 1) + fibonacci_on_host(n - 2);
}

unsigned ackermann_on_host(unsigned m, unsigned n) {
    return m == 0 ? n + 1 : ackermann_on_host(m - 1, n == 0 ? 1 : ackermann_on_host(m, n - 1));
}

}  // namespace

int main() {
    CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 16 * 1024));
    std::size_t stack = 0;
    CUDA(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
    CHECK(stack >= 16 * 1024);

    conformance::DeviceArray<unsigned> out(3 * 64);
    numbers<<<1, 64>>>(out.data());
    CUDA(cudaGetLastError());
    const auto result = out.host();
    for (unsigned i = 0; i < 64; ++i) {
        CHECK_AT(i, result[i], fibonacci_on_host(i % 15));
        CHECK_AT(i, result[64 + i], ackermann_on_host(i % 3, i % 5));
        CHECK_AT(i, result[128 + i], i % 2 == 0 ? 1u : 0u);
    }
    conformance::report("numbers", result);

    conformance::Random random(118);
    std::vector<int> values(40 * kLength);
    for (int& value : values) value = static_cast<int>(random.below(50));
    conformance::DeviceArray<int> input(values), output(values.size());
    sort_each<<<1, 40>>>(input.data(), output.data());
    CUDA(cudaGetLastError());
    for (int thread = 0; thread < 40; ++thread)
        std::sort(values.begin() + thread * kLength, values.begin() + (thread + 1) * kLength);
    CHECK(output.host() == values);
    conformance::report("sorted", values);
    return 0;
}
