// SPDX-License-Identifier: Apache-2.0
// Constants and __device__ globals: initial values, copies both ways with offsets, addresses.
#include "conformance.h"

__constant__ int table[64];
__constant__ double factor = 2.5;
__device__ int counter = 7;
__device__ float weights[4] = {0.5f, -1.0f, 2.0f, 8.0f};
__device__ int* indirection = &counter;
__device__ const char greeting[] = "constants and globals";

namespace {

__global__ void apply(double* out) {
    const unsigned i = threadIdx.x;
    out[i] = table[i] * factor + weights[i % 4];
    if (i == 0) *indirection += 3;
}

__global__ void spell(char* out) {
    out[threadIdx.x] = greeting[threadIdx.x];
}

}  // namespace

int main() {
    std::vector<int> values(64);
    for (int i = 0; i < 64; ++i) values[i] = i * i - 100;
    CUDA(cudaMemcpyToSymbol(table, values.data(), 32 * sizeof(int)));
    CUDA(cudaMemcpyToSymbol(table, values.data() + 32, 32 * sizeof(int), 32 * sizeof(int)));

    conformance::DeviceArray<double> out(64);
    apply<<<1, 64>>>(out.data());
    CUDA(cudaGetLastError());
    const float initial[4] = {0.5f, -1.0f, 2.0f, 8.0f};
    auto result = out.host();
    for (int i = 0; i < 64; ++i) CHECK_AT(i, result[i], values[i] * 2.5 + initial[i % 4]);
    conformance::report("initial", result);

    int count = 0;
    CUDA(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    CHECK(count == 10);

    const double changed_factor = -0.25;
    const float changed_weight = 1024.0f;
    CUDA(cudaMemcpyToSymbolAsync(factor, &changed_factor, sizeof changed_factor, 0,
                                 cudaMemcpyHostToDevice, nullptr));
    CUDA(cudaMemcpyToSymbol(weights, &changed_weight, sizeof changed_weight, 2 * sizeof(float)));
    apply<<<1, 64>>>(out.data());
    CUDA(cudaGetLastError());
    result = out.host();
    for (int i = 0; i < 64; ++i)
        CHECK_AT(i, result[i], values[i] * -0.25 + (i % 4 == 2 ? 1024.0f : initial[i % 4]));
    conformance::report("changed", result);

    void* address = nullptr;
    std::size_t size = 0;
    CUDA(cudaGetSymbolAddress(&address, counter));
    CUDA(cudaGetSymbolSize(&size, counter));
    CHECK(size == sizeof(int));
    CUDA(cudaMemcpy(&count, address, sizeof count, cudaMemcpyDeviceToHost));
    CHECK(count == 13);
    CUDA(cudaMemset(address, 0, sizeof count));
    CUDA(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    CHECK(count == 0);
    CUDA(cudaGetSymbolSize(&size, table));
    CHECK(size == sizeof table);

    conformance::DeviceArray<char> letters(sizeof greeting);
    spell<<<1, sizeof greeting>>>(letters.data());
    CUDA(cudaGetLastError());
    std::printf("%s\n", letters.host().data());

    // The range is checked before anything is copied.
    CUDA_FAILS(cudaMemcpyToSymbol(counter, values.data(), 8), cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CUDA_FAILS(cudaGetSymbolAddress(&address, &values), cudaErrorInvalidSymbol);
    CHECK(cudaGetLastError() == cudaErrorInvalidSymbol);
    return 0;
}
