// SPDX-License-Identifier: Apache-2.0
// alloca in kernels and in functions that they call: each thread takes as much as it needs.
#include <alloca.h>

#include <algorithm>

#include "conformance.h"

namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = 3;

// Sorts a copy of some of the values and returns the one in the middle.
__device__ __noinline__ unsigned median(const unsigned* values, unsigned count) {
    auto* const sorted = static_cast<unsigned*>(alloca(count * sizeof(unsigned)));
    for (unsigned i = 0; i < count; ++i) {
        unsigned at = i;
        for (; at > 0 && sorted[at - 1] > values[i]; --at) sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return sorted[count / 2];
}

__global__ void medians(const unsigned* values, unsigned* out, int rounds) {
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned count = index % 15 + 1;
    auto* const found = static_cast<unsigned*>(alloca(rounds * sizeof(unsigned)));
    for (int round = 0; round < rounds; ++round)
        found[round] = median(values + index + round, count);
    unsigned sum = 0;
    for (int round = 0; round < rounds; ++round) sum = sum * 31 + found[round];
    out[index] = sum;
}

unsigned median_on_host(const unsigned* values, unsigned count) {
    std::vector<unsigned> sorted(values, values + count);
    std::sort(sorted.begin(), sorted.end());
    return sorted[count / 2];
}

}  // namespace

int main() {
    constexpr int kRounds = 40;
    constexpr unsigned kCount = kThreads * kBlocks;
    conformance::Random random(23);
    std::vector<unsigned> values(kCount + kRounds + 15);
    for (unsigned& value : values) value = random.below(1000);
    const conformance::DeviceArray<unsigned> in(values);
    const conformance::DeviceArray<unsigned> out(kCount);
    medians<<<kBlocks, kThreads>>>(in.data(), out.data(), kRounds);
    CUDA(cudaGetLastError());
    const std::vector<unsigned> have = out.host();
    for (unsigned index = 0; index < kCount; ++index) {
        unsigned want = 0;
        for (int round = 0; round < kRounds; ++round)
            want = want * 31 + median_on_host(&values[index + round], index % 15 + 1);
        CHECK_AT(index, have[index], want);
    }
    conformance::report("medians", have);
    return 0;
}
