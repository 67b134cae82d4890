// SPDX-License-Identifier: Apache-2.0
// Shuffles of every kind and width, votes, matches, masks, with full and partial warps.
#include "conformance.h"

namespace {

constexpr int kResults = 10;

__global__ void primitives(const int* input, std::uint64_t* out) {
    const unsigned lane = threadIdx.x % 32;
    const unsigned full = 0xffffffffu;
    const int value = input[threadIdx.x];
    int predicate = 0;
    const std::uint64_t results[kResults] = {
        static_cast<std::uint64_t>(__shfl_sync(full, value, (lane * 7) % 32)),
        static_cast<std::uint64_t>(__shfl_up_sync(full, value, 3)),
        static_cast<std::uint64_t>(__shfl_down_sync(full, value, 5, 8)),
        static_cast<std::uint64_t>(__shfl_xor_sync(full, value, 9, 16)),
        static_cast<std::uint64_t>(__shfl_sync(full, value * 1000000007ll, 4)),
        __ballot_sync(full, value & 1),
        static_cast<std::uint64_t>(__any_sync(full, value > 90) * 2 + __all_sync(full, value >= 0)),
        __match_any_sync(full, value % 5),
        __match_all_sync(full, value / 1000, &predicate),
        static_cast<std::uint64_t>(predicate)};
    for (int k = 0; k < kResults; ++k) out[k * blockDim.x + threadIdx.x] = results[k];
}

__global__ void partial(const int* input, unsigned* out) {
    const unsigned lane = threadIdx.x % 32;
    if (lane % 3 == 0) {
        const unsigned mask = 0x49249249u;  // the lanes divisible by 3
        out[threadIdx.x] = __ballot_sync(mask, input[threadIdx.x] & 2);
    } else {
        const unsigned mask = ~0x49249249u;
        out[threadIdx.x] = __shfl_sync(mask, input[threadIdx.x], 31 - lane % 2 * 2);
    }
}

}  // namespace

int main() {
    conformance::Random random(126);
    const int count = 64;
    std::vector<int> values(count);
    for (int& value : values) value = static_cast<int>(random.below(100));
    conformance::DeviceArray<int> input(values);
    conformance::DeviceArray<std::uint64_t> out(kResults * count);
    primitives<<<1, count>>>(input.data(), out.data());
    CUDA(cudaGetLastError());
    const auto result = out.host();
    for (int i = 0; i < count; ++i) {
        const int* warp = values.data() + i / 32 * 32;
        const int lane = i % 32;
        std::uint64_t ballot = 0, same = 0;
        bool any = false;
        for (int other = 0; other < 32; ++other) {
            ballot |= std::uint64_t(warp[other] & 1) << other;
            same |= std::uint64_t(warp[other] % 5 == warp[lane] % 5) << other;
            any |= warp[other] > 90;
        }
        const std::uint64_t expected[kResults] = {
            static_cast<std::uint64_t>(warp[lane * 7 % 32]),
            static_cast<std::uint64_t>(warp[lane >= 3 ? lane - 3 : lane]),
            static_cast<std::uint64_t>(warp[lane % 8 + 5 < 8 ? lane + 5 : lane]),
            static_cast<std::uint64_t>(warp[lane ^ 9]),
            static_cast<std::uint64_t>(warp[4] * 1000000007ll),
            ballot,
            any * 2u + 1u,
            same,
            0xffffffffu,
            1};
        for (int k = 0; k < kResults; ++k)
            CHECK_AT(k * count + i, result[k * count + i], expected[k]);
    }
    conformance::report("primitives", result);

    conformance::DeviceArray<unsigned> ballots(count);
    partial<<<1, count>>>(input.data(), ballots.data());
    CUDA(cudaGetLastError());
    const auto got = ballots.host();
    for (int i = 0; i < count; ++i) {
        const int* warp = values.data() + i / 32 * 32;
        unsigned expected = 0;
        if (i % 32 % 3 == 0) {
            for (int other = 0; other < 32; other += 3)
                expected |= unsigned((warp[other] & 2) != 0) << other;
        } else {
            expected = static_cast<unsigned>(warp[31 - i % 2 * 2]);
        }
        CHECK_AT(i, got[i], expected);
    }
    conformance::report("partial warps", got);
    return 0;
}
