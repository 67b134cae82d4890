// SPDX-License-Identifier: Apache-2.0
// Inclusive prefix sums over many blocks in three launches: scan, scan of the sums, addition.
#include "conformance.h"

namespace {

constexpr unsigned kThreads = 128;

__global__ void scan_blocks(const std::uint32_t* input, std::uint32_t* output,
                            std::uint32_t* block_sums, std::size_t count) {
    __shared__ std::uint32_t lanes[2][kThreads];
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    int current = 0;
    lanes[0][threadIdx.x] = i < count ? input[i] : 0;
    __syncthreads();
    for (unsigned offset = 1; offset < kThreads; offset *= 2) {
        const std::uint32_t before =
            threadIdx.x >= offset ? lanes[current][threadIdx.x - offset] : 0;
        lanes[1 - current][threadIdx.x] = lanes[current][threadIdx.x] + before;
        current = 1 - current;
        __syncthreads();
    }
    if (i < count) output[i] = lanes[current][threadIdx.x];
    if (threadIdx.x == kThreads - 1 && block_sums)
        block_sums[blockIdx.x] = lanes[current][threadIdx.x];
}

__global__ void add_sums(std::uint32_t* output, const std::uint32_t* sums, std::size_t count) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (blockIdx.x > 0 && i < count) output[i] += sums[blockIdx.x - 1];
}

}  // namespace

int main() {
    conformance::Random random(104);
    for (const std::size_t count : {1u, 128u, 1000u, 16384u}) {
        std::vector<std::uint32_t> values(count);
        for (auto& value : values) value = static_cast<std::uint32_t>(random.next());
        const unsigned blocks = conformance::blocks_for(count, kThreads);
        CHECK(blocks <= kThreads);
        conformance::DeviceArray<std::uint32_t> input(values), output(count), sums(blocks);
        scan_blocks<<<blocks, kThreads>>>(input.data(), output.data(), sums.data(), count);
        scan_blocks<<<1, kThreads>>>(sums.data(), sums.data(), nullptr, blocks);
        add_sums<<<blocks, kThreads>>>(output.data(), sums.data(), count);
        CUDA(cudaGetLastError());
        const auto result = output.host();
        std::uint32_t expected = 0;
        for (std::size_t i = 0; i < count; ++i) {
            expected += values[i];
            CHECK_AT(i, result[i], expected);
        }
        conformance::report("scan", result);
    }
    return 0;
}
