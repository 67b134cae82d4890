// SPDX-License-Identifier: Apache-2.0
// A histogram with atomics in shared and in global memory, and one in global memory alone.
#include "conformance.h"

namespace {

constexpr unsigned kBins = 64;

__global__ void count_in_shared(const unsigned char* bytes, std::size_t count, unsigned* bins) {
    __shared__ unsigned local[kBins];
    for (unsigned bin = threadIdx.x; bin < kBins; bin += blockDim.x) local[bin] = 0;
    __syncthreads();
    const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
    for (std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x; i < count;
         i += stride)
        atomicAdd(&local[bytes[i] % kBins], 1u);
    __syncthreads();
    for (unsigned bin = threadIdx.x; bin < kBins; bin += blockDim.x)
        atomicAdd(&bins[bin], local[bin]);
}

__global__ void count_in_global(const unsigned char* bytes, std::size_t count, unsigned* bins) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < count) atomicAdd(&bins[bytes[i] % kBins], 1u);
}

}  // namespace

int main() {
    conformance::Random random(105);
    std::vector<unsigned char> bytes(40009);
    std::vector<unsigned> expected(kBins);
    for (auto& byte : bytes) {
        // Two draws: an uneven histogram, with bins that many threads meet in.
        byte = static_cast<unsigned char>(random.below(1 + random.below(256)));
        ++expected[byte % kBins];
    }
    conformance::DeviceArray<unsigned char> input(bytes);
    conformance::DeviceArray<unsigned> bins(kBins);

    CUDA(cudaMemset(bins.data(), 0, bins.bytes()));
    count_in_shared<<<7, 192>>>(input.data(), bytes.size(), bins.data());
    CUDA(cudaGetLastError());
    CHECK(bins.host() == expected);
    conformance::report("bins by shared memory", bins.host());

    CUDA(cudaMemset(bins.data(), 0, bins.bytes()));
    count_in_global<<<conformance::blocks_for(bytes.size(), 192), 192>>>(input.data(), bytes.size(),
                                                                         bins.data());
    CUDA(cudaGetLastError());
    CHECK(bins.host() == expected);
    conformance::report("bins by global memory", bins.host());
    return 0;
}
