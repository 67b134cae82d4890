// SPDX-License-Identifier: Apache-2.0
// f16 arithmetic: conversions in every rounding, scalar and packed operations, comparisons.
// The host computes in double and rounds once, which is exact for one f16 operation.
#include <cuda_fp16.h>

#include <cmath>

#include "conformance.h"

namespace {

// Rounds to the nearest f16, ties to even, independently of the toolkit's conversions.
std::uint16_t half_bits(double value) {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(value);
    if (std::isnan(value)) return 0x7fff;
    if (magnitude >= 65520.0) return sign | 0x7c00;
    if (magnitude < 0x1p-14)
        return sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24));
    int exponent = 0;
    const double fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
    const auto mantissa = static_cast<int>(std::nearbyint(fraction * 0x1p11));
    // A mantissa that rounds up to 0x800 carries into the exponent by itself.
    return static_cast<std::uint16_t>(sign + ((exponent + 13) << 10) + mantissa);
}

double half_value(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const double fraction = bits & 0x3ff;
    const double magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                             : exponent == 0 ? fraction * 0x1p-24
                                             : std::ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

constexpr int kOperations = 6;

__global__ void scalar(const std::uint16_t* a, const std::uint16_t* b, std::uint16_t* out,
                       int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const __half x = __ushort_as_half(a[i]), y = __ushort_as_half(b[i]);
    const __half results[kOperations] = {__hadd_rn(x, y), __hsub_rn(x, y),
                                         __hmul_rn(x, y), __float2half_rn(__half2float(x)),
                                         __hneg(x),       __hlt(x, y) ? __half(1) : __half(0)};
    for (int k = 0; k < kOperations; ++k) out[k * count + i] = __half_as_ushort(results[k]);
}

__global__ void packed(const __half2* a, const __half2* b, __half2* out, int pairs) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= pairs) return;
    out[i] = __hmul2_rn(a[i], b[i]);
    out[pairs + i] = __hfma2(a[i], b[i], __float2half2_rn(1.0f));
}

__global__ void roundings(const float* values, std::uint16_t* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    out[i] = __half_as_ushort(__float2half_rz(values[i]));
    out[count + i] = __half_as_ushort(__float2half_ru(values[i]));
    out[2 * count + i] = __half_as_ushort(__float2half_rd(values[i]));
}

bool same(std::uint16_t got, std::uint16_t want) {
    const bool both_nan = std::isnan(half_value(got)) && std::isnan(half_value(want));
    return both_nan || got == want;
}

}  // namespace

int main() {
    CHECK(half_bits(1.0) == 0x3c00 && half_bits(-2.0) == 0xc000 && half_bits(0x1p-24) == 1);
    CHECK(half_bits(65504.0) == 0x7bff && half_value(0x7bff) == 65504.0);

    conformance::Random random(110);
    const int count = 4096;
    std::vector<std::uint16_t> a(count), b(count);
    for (int i = 0; i < count; ++i) {
        a[i] = static_cast<std::uint16_t>(random.next());
        b[i] = static_cast<std::uint16_t>(random.next());
        if (i % 2)  // near exponents, so that sums round
            b[i] = static_cast<std::uint16_t>((b[i] & 0x83ff) | (a[i] & 0x7c00));
    }
    conformance::DeviceArray<std::uint16_t> device_a(a), device_b(b), out(kOperations * count);
    scalar<<<conformance::blocks_for(count, 128), 128>>>(device_a.data(), device_b.data(),
                                                         out.data(), count);
    CUDA(cudaGetLastError());
    auto result = out.host();
    for (int i = 0; i < count; ++i) {
        const double x = half_value(a[i]), y = half_value(b[i]);
        const std::uint16_t expected[kOperations] = {half_bits(x + y), half_bits(x - y),
                                                     half_bits(x * y), half_bits(x),
                                                     half_bits(-x),    half_bits(x < y ? 1 : 0)};
        for (int k = 0; k < kOperations; ++k)
            if (!same(result[k * count + i], expected[k]))
                conformance::fail(__FILE__, __LINE__, "operation %d of %04x, %04x: %04x, not %04x",
                                  k, a[i], b[i], result[k * count + i], expected[k]);
    }
    std::printf("scalar: %d operations on %d pairs\n", kOperations, count);

    packed<<<conformance::blocks_for(count / 2, 128), 128>>>(
        reinterpret_cast<__half2*>(device_a.data()), reinterpret_cast<__half2*>(device_b.data()),
        reinterpret_cast<__half2*>(out.data()), count / 2);
    CUDA(cudaGetLastError());
    result = out.host();
    for (int i = 0; i < count; ++i) {
        const double product = half_value(a[i]) * half_value(b[i]);
        CHECK(same(result[i], half_bits(product)));
        // The exact sum needs more than a double where the product is tiny: there it rounds to 1.
        CHECK(same(result[count + i], half_bits(product + 1.0)));
    }
    std::printf("packed: %d pairs\n", count / 2);

    std::vector<float> values(count);
    for (int i = 0; i < count; ++i)
        values[i] = static_cast<float>(random.between(-1, 1) * std::ldexp(1.0, i % 32 - 18));
    conformance::DeviceArray<float> device_values(values);
    roundings<<<conformance::blocks_for(count, 128), 128>>>(device_values.data(), out.data(),
                                                            count);
    CUDA(cudaGetLastError());
    result = out.host();
    for (int i = 0; i < count; ++i) {
        const double exact = values[i], zero = half_value(result[i]);
        const double up = half_value(result[count + i]), down = half_value(result[2 * count + i]);
        CHECK(down <= exact && exact <= up && std::fabs(zero) <= std::fabs(exact));
        CHECK(zero == (exact < 0 ? up : down));
        const double nearest = half_value(half_bits(exact));
        CHECK(nearest == up || nearest == down);
    }
    conformance::report("roundings", result.data(), 3 * count);
    return 0;
}
