// SPDX-License-Identifier: Apache-2.0
// Integers of every width: arithmetic, division, shifts, high halves, bit counting, packing.
#include <bit>

#include "conformance.h"

namespace {

constexpr int kOperations = 12;

template <typename T>
__host__ __device__ void arithmetic(T a, T b, std::uint64_t* out, int stride) {
    const T divisor = b == T(0) ? T(3) : b;
    const unsigned shift = static_cast<unsigned>(b) % (8 * sizeof(T));
    const T results[kOperations] = {
        static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)),
        static_cast<T>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)),
        static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)),
        static_cast<T>(a / divisor),
        static_cast<T>(a % divisor),
        static_cast<T>(a & b),
        static_cast<T>(a | b),
        static_cast<T>(a ^ b),
        static_cast<T>(~a),
        static_cast<T>(a >> shift),
        static_cast<T>(static_cast<std::uint64_t>(a) << shift),
        static_cast<T>(a < b ? a : b)};
    for (int k = 0; k < kOperations; ++k) out[k * stride] = static_cast<std::uint64_t>(results[k]);
}

template <typename T>
__global__ void arithmetic_kernel(const std::uint64_t* a, const std::uint64_t* b,
                                  std::uint64_t* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) arithmetic<T>(static_cast<T>(a[i]), static_cast<T>(b[i]), out + i, count);
}

template <typename T>
void run(const char* name, const std::vector<std::uint64_t>& a,
         const std::vector<std::uint64_t>& b) {
    const int count = static_cast<int>(a.size());
    conformance::DeviceArray<std::uint64_t> device_a(a), device_b(b), out(kOperations * a.size());
    arithmetic_kernel<T><<<conformance::blocks_for(a.size(), 128), 128>>>(
        device_a.data(), device_b.data(), out.data(), count);
    CUDA(cudaGetLastError());
    const auto result = out.host();
    std::vector<std::uint64_t> expected(result.size());
    for (int i = 0; i < count; ++i)
        arithmetic<T>(static_cast<T>(a[i]), static_cast<T>(b[i]), expected.data() + i, count);
    for (std::size_t i = 0; i < result.size(); ++i)
        if (result[i] != expected[i])
            conformance::fail(__FILE__, __LINE__, "%s operation %zu: %" PRIx64 ", not %" PRIx64,
                              name, i / count, result[i], expected[i]);
    conformance::report(name, result);
}

constexpr int kIntrinsics = 10;

__global__ void intrinsics(const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out,
                           int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const auto x = static_cast<std::uint32_t>(a[i]), y = static_cast<std::uint32_t>(b[i]);
    const std::uint64_t results[kIntrinsics] = {
        static_cast<std::uint64_t>(__popcll(a[i])),
        static_cast<std::uint64_t>(__clzll(a[i])),
        static_cast<std::uint64_t>(__ffs(x)),
        __brev(x),
        __umulhi(x, y),
        __umul64hi(a[i], b[i]),
        static_cast<std::uint32_t>(__mulhi(static_cast<int>(x), static_cast<int>(y))),
        __byte_perm(x, y, 0x6143),
        __funnelshift_l(x, y, y & 31),
        __usad(x, y, 5)};
    for (int k = 0; k < kIntrinsics; ++k) out[k * count + i] = results[k];
}

std::uint32_t reversed(std::uint32_t value) {
    std::uint32_t result = 0;
    for (int bit = 0; bit < 32; ++bit) result |= ((value >> bit) & 1u) << (31 - bit);
    return result;
}

void run_intrinsics(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b) {
    const int count = static_cast<int>(a.size());
    conformance::DeviceArray<std::uint64_t> device_a(a), device_b(b), out(kIntrinsics * a.size());
    intrinsics<<<conformance::blocks_for(a.size(), 128), 128>>>(device_a.data(), device_b.data(),
                                                                out.data(), count);
    CUDA(cudaGetLastError());
    const auto result = out.host();
    for (int i = 0; i < count; ++i) {
        const auto x = static_cast<std::uint32_t>(a[i]), y = static_cast<std::uint32_t>(b[i]);
        const std::int64_t signed_product =
            static_cast<std::int64_t>(static_cast<std::int32_t>(x)) * static_cast<std::int32_t>(y);
        const std::uint32_t bytes[8] = {x & 255, (x >> 8) & 255, (x >> 16) & 255, x >> 24,
                                        y & 255, (y >> 8) & 255, (y >> 16) & 255, y >> 24};
        const unsigned shift = y & 31;
        const std::uint64_t expected[kIntrinsics] = {
            static_cast<std::uint64_t>(std::popcount(a[i])),
            static_cast<std::uint64_t>(std::countl_zero(a[i])),
            x == 0 ? 0u : static_cast<std::uint64_t>(std::countr_zero(x)) + 1,
            reversed(x),
            (static_cast<std::uint64_t>(x) * y) >> 32,
            static_cast<std::uint64_t>((static_cast<unsigned __int128>(a[i]) * b[i]) >> 64),
            static_cast<std::uint32_t>(signed_product >> 32),
            bytes[3] | bytes[4] << 8 | bytes[1] << 16 | bytes[6] << 24,
            shift == 0 ? y : (y << shift) | (x >> (32 - shift)),
            (x > y ? x - y : y - x) + 5u};
        for (int k = 0; k < kIntrinsics; ++k)
            if (result[k * count + i] != expected[k])
                conformance::fail(__FILE__, __LINE__,
                                  "intrinsic %d of %" PRIx64 ", %" PRIx64 ": %" PRIx64
                                  ", not %" PRIx64,
                                  k, a[i], b[i], result[k * count + i], expected[k]);
    }
    conformance::report("intrinsics", result);
}

}  // namespace

int main() {
    conformance::Random random(112);
    const std::uint64_t edges[] = {0,      1,          2,           0x7f,
                                   0x80,   0xff,       0x7fff,      0x8000,
                                   0xffff, 0x7fffffff, 0x100000000, 0x7fffffffffffffff};
    std::vector<std::uint64_t> a, b;
    for (const std::uint64_t x : edges)
        for (const std::uint64_t y : edges) {
            a.push_back(x);
            b.push_back(y);
        }
    for (int i = 0; i < 500; ++i) {
        a.push_back(random.next());
        b.push_back(random.next() >> random.below(64));
    }
    run<std::int8_t>("8 bit signed", a, b);
    run<std::uint8_t>("8 bit unsigned", a, b);
    run<std::int16_t>("16 bit signed", a, b);
    run<std::uint16_t>("16 bit unsigned", a, b);
    run<std::int32_t>("32 bit signed", a, b);
    run<std::uint32_t>("32 bit unsigned", a, b);
    run<std::int64_t>("64 bit signed", a, b);
    run<std::uint64_t>("64 bit unsigned", a, b);
    run_intrinsics(a, b);
    return 0;
}
