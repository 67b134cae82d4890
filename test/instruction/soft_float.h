// SPDX-License-Identifier: Apache-2.0
// Floating-point formats by their bits, with one rounding at the end of an exact result:
// independent of the processor's own 16- and 32-bit arithmetic.
#pragma once

#include <cstdint>

namespace cubar::instruction {

// 113 bits of mantissa and 15 of exponent: holds every value of the formats below.
__extension__ typedef __float128 Quad;

struct Format {
    unsigned mantissa;  // explicit bits
    unsigned exponent;
};

inline constexpr Format kFormatF16{10, 5};
inline constexpr Format kFormatBf16{7, 8};
inline constexpr Format kFormatF32{23, 8};
inline constexpr Format kFormatF64{52, 11};

enum class Round : std::uint8_t { kNearest, kZero, kDown, kUp };

Quad decode(const Format& format, std::uint64_t bits);
// Rounds once. An infinity or NaN stays one.
std::uint64_t encode(const Format& format, Quad value, Round round);

bool is_nan(Quad value);
bool is_infinite(Quad value);
bool is_negative(Quad value);  // the sign bit
bool is_subnormal(const Format& format, std::uint64_t bits);
// A zero with the sign of a subnormal; other values as they are.
std::uint64_t flush(const Format& format, std::uint64_t bits);

// Results rounded to odd in 113 bits, so that a later encode() to at most 53 bits is as from the
// exact value. The square root takes a value of at most 53 bits.
Quad add(Quad a, Quad b);
Quad subtract(Quad a, Quad b);
Quad multiply(Quad a, Quad b);
Quad divide(Quad a, Quad b);
Quad multiply_add(Quad a, Quad b, Quad c);  // the product must be exact in 113 bits

}  // namespace cubar::instruction
