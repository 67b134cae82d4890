// SPDX-License-Identifier: Apache-2.0
// Every atomic operation in its widths, on global and on shared memory, under contention.
#include "conformance.h"

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocks = 12;
constexpr unsigned kTotal = kThreads * kBlocks;

struct Cells {
    int add, sub, smallest, largest;
    unsigned and_bits, or_bits, xor_bits, increments, decrements;
    unsigned long long wide_add, wide_largest, by_cas;
    long long wide_smallest;
    float real_add;
    double double_add;
};

__device__ void touch(Cells* cells, unsigned id) {
    const int value = static_cast<int>(id * 2654435761u);
    atomicAdd(&cells->add, value);
    atomicSub(&cells->sub, value);
    atomicMin(&cells->smallest, value);
    atomicMax(&cells->largest, value);
    atomicAnd(&cells->and_bits, ~(1u << (id % 11)));
    atomicOr(&cells->or_bits, 1u << (id % 23));
    atomicXor(&cells->xor_bits, id * 40503u);
    atomicInc(&cells->increments, 999u);
    atomicDec(&cells->decrements, 999u);
    atomicAdd(&cells->wide_add, id * 0x100000001ull);
    atomicMax(&cells->wide_largest, id * 0x9e3779b97f4a7c15ull);
    atomicMin(&cells->wide_smallest, static_cast<long long>(id * 0x9e3779b97f4a7c15ull));
    // Whole numbers below 2^24: the sum is exact in any order.
    atomicAdd(&cells->real_add, static_cast<float>(id % 8));
    atomicAdd(&cells->double_add, 0.5 * id);
    unsigned long long seen = cells->by_cas, assumed;
    do {
        assumed = seen;
        seen = atomicCAS(&cells->by_cas, assumed, assumed + 3 * id + 1);
    } while (seen != assumed);
}

__global__ void on_global(Cells* cells) {
    touch(cells, blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void on_shared(Cells* cells) {
    __shared__ Cells shared;
    if (threadIdx.x == 0) shared = *cells;
    __syncthreads();
    for (unsigned block = 0; block < kBlocks; ++block)
        touch(&shared, block * kThreads + threadIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) *cells = shared;
}

__global__ void exchange(unsigned* token, unsigned* seen) {
    const unsigned id = blockIdx.x * blockDim.x + threadIdx.x;
    seen[atomicExch(token, id + 1)] += 1;
}

Cells initial() {
    Cells cells;
    std::memset(&cells, 0, sizeof cells);
    cells.and_bits = 0xffffffffu;
    return cells;
}

Cells on_host() {
    Cells cells = initial();
    unsigned add = 0;
    for (unsigned id = 0; id < kTotal; ++id) {
        const int value = static_cast<int>(id * 2654435761u);
        add += static_cast<unsigned>(value);
        cells.smallest = value < cells.smallest ? value : cells.smallest;
        cells.largest = value > cells.largest ? value : cells.largest;
        cells.and_bits &= ~(1u << (id % 11));
        cells.or_bits |= 1u << (id % 23);
        cells.xor_bits ^= id * 40503u;
        cells.increments = cells.increments >= 999u ? 0 : cells.increments + 1;
        cells.decrements =
            cells.decrements == 0 || cells.decrements > 999u ? 999u : cells.decrements - 1;
        cells.wide_add += id * 0x100000001ull;
        const unsigned long long wide = id * 0x9e3779b97f4a7c15ull;
        const auto signed_wide = static_cast<long long>(wide);
        cells.wide_largest = wide > cells.wide_largest ? wide : cells.wide_largest;
        cells.wide_smallest = signed_wide < cells.wide_smallest ? signed_wide : cells.wide_smallest;
        cells.real_add += static_cast<float>(id % 8);
        cells.double_add += 0.5 * id;
        cells.by_cas += 3 * id + 1;
    }
    cells.add = static_cast<int>(add);
    cells.sub = static_cast<int>(0u - add);
    return cells;
}

}  // namespace

int main() {
    const Cells expected = on_host();
    conformance::DeviceArray<Cells> cells(std::vector<Cells>{initial()});
    on_global<<<kBlocks, kThreads>>>(cells.data());
    CUDA(cudaGetLastError());
    Cells result = cells.host()[0];
    CHECK(std::memcmp(&result, &expected, sizeof result) == 0);
    conformance::report("global", &result, 1);

    const Cells fresh = initial();
    CUDA(cudaMemcpy(cells.data(), &fresh, sizeof fresh, cudaMemcpyHostToDevice));
    on_shared<<<1, kThreads>>>(cells.data());
    CUDA(cudaGetLastError());
    result = cells.host()[0];
    CHECK(std::memcmp(&result, &expected, sizeof result) == 0);
    conformance::report("shared", &result, 1);

    // Each token is taken from the cell once, except for the one that stays.
    conformance::DeviceArray<unsigned> token(std::vector<unsigned>{0});
    conformance::DeviceArray<unsigned> seen(std::vector<unsigned>(kTotal + 1));
    exchange<<<kBlocks, kThreads>>>(token.data(), seen.data());
    CUDA(cudaGetLastError());
    const unsigned last = token.host()[0];
    const auto counts = seen.host();
    for (unsigned i = 0; i <= kTotal; ++i) CHECK_AT(i, counts[i], i == last ? 0u : 1u);
    std::printf("exchanged %u tokens\n", kTotal);
    return 0;
}
