// SPDX-License-Identifier: Apache-2.0
// Sums by warp shuffles, by a tree in shared memory, and by cooperative-groups tiles.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "conformance.h"

namespace {

constexpr unsigned kThreads = 256;

__device__ int warp_sum(int value) {
    for (int offset = 16; offset > 0; offset /= 2)
        value += __shfl_down_sync(0xffffffffu, value, offset);
    return value;
}

__global__ void sum_by_shuffles(const int* values, std::size_t count, int* partial) {
    __shared__ int warp_sums[kThreads / 32];
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    int value = warp_sum(i < count ? values[i] : 0);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x < 32) {
        value = warp_sum(threadIdx.x < kThreads / 32 ? warp_sums[threadIdx.x] : 0);
        if (threadIdx.x == 0) partial[blockIdx.x] = value;
    }
}

__global__ void sum_by_shared_memory(const int* values, std::size_t count, int* partial) {
    __shared__ int tree[kThreads];
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    tree[threadIdx.x] = i < count ? values[i] : 0;
    __syncthreads();
    for (unsigned stride = kThreads / 2; stride > 0; stride /= 2) {
        if (threadIdx.x < stride) tree[threadIdx.x] += tree[threadIdx.x + stride];
        __syncthreads();
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = tree[0];
}

__global__ void sum_by_tiles(const int* values, std::size_t count, int* total) {
    namespace cg = cooperative_groups;
    const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    const int sum = cg::reduce(tile, i < count ? values[i] : 0, cg::plus<int>());
    if (tile.thread_rank() == 0) atomicAdd(total, sum);
}

}  // namespace

int main() {
    conformance::Random random(103);
    const std::size_t count = 50021;
    std::vector<int> values(count);
    int expected = 0;
    for (int& value : values) {
        value = static_cast<int>(random.below(2001)) - 1000;
        expected += value;
    }
    const unsigned blocks = conformance::blocks_for(count, kThreads);
    conformance::DeviceArray<int> device_values(values), partial(blocks);
    const auto total_of_partial = [&partial] {
        int total = 0;
        for (const int value : partial.host()) total += value;
        return total;
    };

    sum_by_shuffles<<<blocks, kThreads>>>(device_values.data(), count, partial.data());
    CUDA(cudaGetLastError());
    CHECK(total_of_partial() == expected);
    conformance::report("partial sums by shuffles", partial.host());

    sum_by_shared_memory<<<blocks, kThreads>>>(device_values.data(), count, partial.data());
    CUDA(cudaGetLastError());
    CHECK(total_of_partial() == expected);
    conformance::report("partial sums by shared memory", partial.host());

    conformance::DeviceArray<int> total(std::vector<int>{0});
    sum_by_tiles<<<blocks, kThreads>>>(device_values.data(), count, total.data());
    CUDA(cudaGetLastError());
    CHECK(total.host()[0] == expected);
    std::printf("total %d\n", expected);
    return 0;
}
