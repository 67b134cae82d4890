// SPDX-License-Identifier: Apache-2.0
// Dynamic shared memory: beside static shared memory, of several types, and above 48 KiB.
#include "conformance.h"

namespace {

__global__ void reverse(const int* input, int* output) {
    extern __shared__ int values[];
    __shared__ int bias;
    if (threadIdx.x == 0) bias = 1000 * blockIdx.x;
    values[threadIdx.x] = input[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    output[blockIdx.x * blockDim.x + threadIdx.x] = values[blockDim.x - 1 - threadIdx.x] + bias;
}

__global__ void fill_all(unsigned words, unsigned long long* sum) {
    extern __shared__ unsigned all_words[];
    for (unsigned i = threadIdx.x; i < words; i += blockDim.x) all_words[i] = i * 2654435761u;
    __syncthreads();
    unsigned long long partial = 0;
    for (unsigned i = threadIdx.x; i < words; i += blockDim.x) partial += all_words[words - 1 - i];
    atomicAdd(sum, partial);
}

}  // namespace

int main() {
    std::vector<int> values(4 * 96);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i * i % 977);
    conformance::DeviceArray<int> input(values), output(values.size());
    reverse<<<4, 96, 96 * sizeof(int)>>>(input.data(), output.data());
    CUDA(cudaGetLastError());
    const auto result = output.host();
    for (int block = 0; block < 4; ++block)
        for (int i = 0; i < 96; ++i)
            CHECK_AT(block * 96 + i, result[block * 96 + i],
                     values[block * 96 + 95 - i] + 1000 * block);
    conformance::report("reversed", result);

    // 64 KiB, the most that compute capability 7.5 has, must be asked for first.
    const unsigned bytes = 64 * 1024;
    int opt_in = 0;
    CUDA(cudaDeviceGetAttribute(&opt_in, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    CHECK(opt_in >= static_cast<int>(bytes));
    conformance::DeviceArray<unsigned long long> sum(std::vector<unsigned long long>{0});
    fill_all<<<1, 128, bytes>>>(bytes / 4, sum.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CUDA(cudaFuncSetAttribute(fill_all, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    fill_all<<<1, 128, bytes>>>(bytes / 4, sum.data());
    CUDA(cudaGetLastError());
    unsigned long long expected = 0;
    for (unsigned i = 0; i < bytes / 4; ++i) expected += static_cast<unsigned>(i * 2654435761u);
    CHECK(sum.host()[0] == expected);
    std::printf("64 KiB of shared memory: sum %llu\n", expected);
    return 0;
}
