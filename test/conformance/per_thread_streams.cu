// SPDX-License-Identifier: Apache-2.0
// Many host threads, each with its per-thread default stream (compiled with
// --default-stream per-thread): no thread's work is another's.
#include <thread>

#include "conformance.h"

namespace {

constexpr int kThreads = 16;
constexpr int kRounds = 25;
constexpr std::size_t kCount = 1500;

__global__ void advance(std::uint32_t* values, std::uint32_t seed) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) values[i] = values[i] * 1664525u + 1013904223u + seed;
}

void work(std::uint32_t seed, std::vector<std::uint32_t>& result) {
    std::uint32_t* values = nullptr;
    CUDA(cudaMalloc(&values, kCount * sizeof *values));
    result.assign(kCount, seed);
    CUDA(cudaMemcpyAsync(values, result.data(), kCount * sizeof *values, cudaMemcpyHostToDevice,
                         cudaStreamPerThread));
    for (int round = 0; round < kRounds; ++round) {
        advance<<<conformance::blocks_for(kCount, 64), 64>>>(values, seed);
        if (round % 10 == 9) CUDA(cudaStreamSynchronize(0));
    }
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpyAsync(result.data(), values, kCount * sizeof *values, cudaMemcpyDeviceToHost));
    CUDA(cudaStreamSynchronize(cudaStreamPerThread));
    CUDA(cudaFree(values));
}

}  // namespace

int main() {
    std::vector<std::vector<std::uint32_t>> results(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([t, &results] { work(17u * t + 1, results[t]); });
    for (std::thread& thread : threads) thread.join();
    for (int t = 0; t < kThreads; ++t) {
        const std::uint32_t seed = 17u * t + 1;
        std::uint32_t expected = seed;
        for (int round = 0; round < kRounds; ++round)
            expected = expected * 1664525u + 1013904223u + seed;
        for (std::size_t i = 0; i < kCount; ++i) CHECK_AT(i, results[t][i], expected);
        std::printf("thread %d: %08x\n", t, expected);
    }
    return 0;
}
