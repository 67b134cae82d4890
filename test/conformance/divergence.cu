// SPDX-License-Identifier: Apache-2.0
// Divergent control flow: nested branches, loops of different lengths, switches, early exits,
// breaks out of nested loops, and barriers around them.
#include "conformance.h"

namespace {

__host__ __device__ std::uint32_t walk(std::uint32_t n) {
    std::uint32_t steps = 0, hash = n;
    while (n > 1) {
        n = n % 2 ? 3 * n + 1 : n / 2;
        ++steps;
        if (steps > 120) break;
        switch (n % 7) {
            case 0:
                hash += n;
                break;
            case 1:
                hash ^= n << 3;
                [[fallthrough]];
            case 2:
                hash *= 31;
                break;
            case 5:
                if (hash & 16) continue;
                hash -= steps;
                break;
            default:
                hash = (hash << 5) | (hash >> 27);
        }
        for (std::uint32_t i = 0; i < n % 4; ++i) {
            for (std::uint32_t j = 0; j < 5; ++j) {
                if (((hash >> j) & 3) == i) goto next;
                hash += i * j;
            }
        }
    next:;
    }
    return hash ^ steps;
}

__global__ void walk_all(std::uint32_t* out, std::uint32_t count) {
    const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count || i % 13 == 12) return;
    out[i] = walk(i);
}

// Barriers after early exits of whole warps and inside uniform branches.
__global__ void barriers(unsigned* out) {
    __shared__ unsigned slots[128];
    slots[threadIdx.x] = threadIdx.x;
    for (unsigned round = 0; round < 8; ++round) {
        __syncthreads();
        unsigned value = slots[(threadIdx.x + 1) % 128];
        if (threadIdx.x % 3 == round % 3) value = value * 2 + 1;
        __syncthreads();
        slots[threadIdx.x] = value;
    }
    const int odd = __syncthreads_count(slots[threadIdx.x] & 1);
    const int all = __syncthreads_and(threadIdx.x < 128);
    const int any = __syncthreads_or(threadIdx.x == 77);
    out[threadIdx.x] = slots[threadIdx.x] + 1000u * odd + 10 * all + any;
}

}  // namespace

int main() {
    const std::uint32_t count = 3000;
    conformance::DeviceArray<std::uint32_t> out(count);
    CUDA(cudaMemset(out.data(), 0, out.bytes()));
    walk_all<<<conformance::blocks_for(count, 96), 96>>>(out.data(), count);
    CUDA(cudaGetLastError());
    const auto result = out.host();
    for (std::uint32_t i = 0; i < count; ++i) CHECK_AT(i, result[i], i % 13 == 12 ? 0 : walk(i));
    conformance::report("walks", result);

    conformance::DeviceArray<unsigned> slots(128);
    barriers<<<1, 128>>>(slots.data());
    CUDA(cudaGetLastError());
    std::vector<unsigned> expected(128), next(128);
    for (unsigned i = 0; i < 128; ++i) expected[i] = i;
    for (unsigned round = 0; round < 8; ++round) {
        for (unsigned i = 0; i < 128; ++i) {
            const unsigned value = expected[(i + 1) % 128];
            next[i] = i % 3 == round % 3 ? value * 2 + 1 : value;
        }
        expected = next;
    }
    unsigned odd = 0;
    for (const unsigned value : expected) odd += value & 1;
    const auto got = slots.host();
    for (unsigned i = 0; i < 128; ++i) CHECK_AT(i, got[i], expected[i] + 1000 * odd + 11);
    conformance::report("barriers", got);
    return 0;
}
