// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/soft_float.h"

#include <cfenv>
#include <cstring>

namespace cubar::instruction {
namespace {

__extension__ typedef unsigned __int128 Bits;

constexpr unsigned kQuadMantissa = 112;
constexpr int kQuadBias = 16383;
constexpr int kQuadMaxExponent = 32767;

Bits bits_of(Quad value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

Quad from_bits(Bits bits) {
    Quad value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

int exponent_of(Bits bits) {
    return static_cast<int>(bits >> kQuadMantissa & kQuadMaxExponent);
}

// Runs the operation towards zero and marks a lost remainder in the last bit.
template <typename Operation>
Quad to_odd(Operation operation) {
    std::fenv_t saved;
    std::feholdexcept(&saved);
    std::fesetround(FE_TOWARDZERO);
    const volatile Quad result = operation();
    const bool inexact = std::fetestexcept(FE_INEXACT) != 0;
    std::fesetenv(&saved);
    return inexact ? from_bits(bits_of(result) | 1) : result;
}

}  // namespace

Quad decode(const Format& format, std::uint64_t bits) {
    const std::uint64_t mantissa = bits & ((std::uint64_t{1} << format.mantissa) - 1);
    const int limit = (1 << format.exponent) - 1;
    const int exponent = static_cast<int>(bits >> format.mantissa) & limit;
    const bool negative = (bits >> (format.mantissa + format.exponent) & 1) != 0;
    const int bias = limit >> 1;
    Bits result = Bits{negative} << 127;
    if (exponent == limit) {
        result |= Bits{kQuadMaxExponent} << kQuadMantissa;
        result |= Bits{mantissa} << (kQuadMantissa - format.mantissa);
        return from_bits(result);
    }
    if (exponent == 0) {
        Quad value = mantissa;
        for (int i = 0; i < bias - 1 + static_cast<int>(format.mantissa); ++i) value *= 0.5;
        return negative ? -value : value;
    }
    result |= Bits(static_cast<unsigned>(exponent - bias + kQuadBias)) << kQuadMantissa;
    result |= Bits{mantissa} << (kQuadMantissa - format.mantissa);
    return from_bits(result);
}

bool is_nan(Quad value) {
    const Bits bits = bits_of(value);
    return exponent_of(bits) == kQuadMaxExponent && (bits << 16) != 0;
}

bool is_infinite(Quad value) {
    const Bits bits = bits_of(value);
    return exponent_of(bits) == kQuadMaxExponent && (bits << 16) == 0;
}

bool is_negative(Quad value) {
    return (bits_of(value) >> 127) != 0;
}

std::uint64_t encode(const Format& format, Quad value, Round round) {
    const std::uint64_t sign = std::uint64_t{is_negative(value)}
                               << (format.mantissa + format.exponent);
    const int limit = (1 << format.exponent) - 1;
    const std::uint64_t infinity = static_cast<std::uint64_t>(limit) << format.mantissa;
    if (is_nan(value)) return infinity | std::uint64_t{1} << (format.mantissa - 1);
    if (is_infinite(value)) return sign | infinity;
    if (value == 0) return sign;
    const Bits bits = bits_of(value);
    const int bias = limit >> 1;
    int exponent = exponent_of(bits) - kQuadBias + bias;
    Bits mantissa = (bits & ((Bits{1} << kQuadMantissa) - 1)) | Bits{1} << kQuadMantissa;
    int drop = static_cast<int>(kQuadMantissa - format.mantissa);
    if (exponent < 1) {
        // Subnormal: more bits go.
        drop += 1 - exponent;
        exponent = 0;
    }
    if (drop > 120) drop = 120;
    const Bits kept = mantissa >> drop;
    const Bits rest = mantissa & ((Bits{1} << drop) - 1);
    const Bits half = Bits{1} << (drop - 1);
    bool up = false;
    switch (round) {
        case Round::kNearest:
            up = rest > half || (rest == half && (kept & 1) != 0);
            break;
        case Round::kZero:
            break;
        case Round::kDown:
            up = sign != 0 && rest != 0;
            break;
        case Round::kUp:
            up = sign == 0 && rest != 0;
            break;
    }
    // A carry out of the mantissa moves on into the exponent, as the encoding is made for.
    std::uint64_t result = static_cast<std::uint64_t>(kept) + (up ? 1 : 0);
    if (exponent > 0) result += static_cast<std::uint64_t>(exponent - 1) << format.mantissa;
    if (exponent >= limit || result >= infinity) {
        const bool to_infinity = round == Round::kNearest || (round == Round::kDown && sign != 0) ||
                                 (round == Round::kUp && sign == 0);
        result = to_infinity ? infinity : infinity - 1;
    }
    return sign | result;
}

bool is_subnormal(const Format& format, std::uint64_t bits) {
    const std::uint64_t mantissa = bits & ((std::uint64_t{1} << format.mantissa) - 1);
    const std::uint64_t exponent =
        bits >> format.mantissa & ((std::uint64_t{1} << format.exponent) - 1);
    return exponent == 0 && mantissa != 0;
}

std::uint64_t flush(const Format& format, std::uint64_t bits) {
    if (!is_subnormal(format, bits)) return bits;
    return bits & std::uint64_t{1} << (format.mantissa + format.exponent);
}

Quad add(Quad a, Quad b) {
    const volatile Quad x = a;
    const volatile Quad y = b;
    return to_odd([&] { return x + y; });
}

Quad subtract(Quad a, Quad b) {
    const volatile Quad x = a;
    const volatile Quad y = b;
    return to_odd([&] { return x - y; });
}

Quad multiply(Quad a, Quad b) {
    const volatile Quad x = a;
    const volatile Quad y = b;
    return to_odd([&] { return x * y; });
}

Quad divide(Quad a, Quad b) {
    const volatile Quad x = a;
    const volatile Quad y = b;
    return to_odd([&] { return x / y; });
}

Quad multiply_add(Quad a, Quad b, Quad c) {
    const volatile Quad product = a * b;
    const volatile Quad z = c;
    return to_odd([&] { return product + z; });
}

}  // namespace cubar::instruction
