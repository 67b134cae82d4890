// SPDX-License-Identifier: Apache-2.0
// CUB from the toolkit: device-wide scan (decoupled look-back between blocks) and a block sum.
#include <cub/block/block_reduce.cuh>
#include <cub/device/device_scan.cuh>

#include "conformance.h"

namespace {

constexpr int kThreads = 128;

__global__ void block_sums(const int* values, int* sums) {
    using Reduce = cub::BlockReduce<int, kThreads>;
    __shared__ typename Reduce::TempStorage storage;
    const int sum = Reduce(storage).Sum(values[blockIdx.x * kThreads + threadIdx.x]);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

}  // namespace

int main() {
    conformance::Random random(122);
    const int count = 8 * kThreads * 10;
    std::vector<int> values(count);
    for (int& value : values) value = static_cast<int>(random.below(1000)) - 500;
    conformance::DeviceArray<int> input(values), output(count), sums(count / kThreads);

    std::size_t bytes = 0;
    CUDA(cub::DeviceScan::ExclusiveSum(nullptr, bytes, input.data(), output.data(), count));
    conformance::DeviceArray<unsigned char> storage(bytes);
    CUDA(cub::DeviceScan::ExclusiveSum(storage.data(), bytes, input.data(), output.data(), count));
    const auto scanned = output.host();
    int expected = 0;
    for (int i = 0; i < count; ++i) {
        CHECK_AT(i, scanned[i], expected);
        expected += values[i];
    }
    conformance::report("scan", scanned);

    block_sums<<<count / kThreads, kThreads>>>(input.data(), sums.data());
    CUDA(cudaGetLastError());
    const auto result = sums.host();
    for (int block = 0; block < count / kThreads; ++block) {
        int sum = 0;
        for (int i = 0; i < kThreads; ++i) sum += values[block * kThreads + i];
        CHECK_AT(block, result[block], sum);
    }
    conformance::report("block sums", result);
    return 0;
}
