// SPDX-License-Identifier: Apache-2.0
// Floating-point formats as bits, and rounding. See lanes.h about the unnamed namespace.
#pragma once

#include <cstdint>

#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

// The one NaN that arithmetic gives.
constexpr uint32_t kNan32 = 0x7fffffff;
constexpr uint64_t kNan64 = 0xfff8000000000000;
constexpr uint16_t kNan16 = 0x7fff;

inline float as_float(uint32_t bits) {
    return __builtin_bit_cast(float, bits);
}
inline double as_double(uint64_t bits) {
    return __builtin_bit_cast(double, bits);
}
inline uint32_t bits_of(float value) {
    return __builtin_bit_cast(uint32_t, value);
}
inline uint64_t bits_of(double value) {
    return __builtin_bit_cast(uint64_t, value);
}

// .ftz: subnormals become zeros of the same sign.
inline uint32_t flush(uint32_t bits) {
    return (bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits;
}
inline float flush(float value) {
    return as_float(flush(bits_of(value)));
}
inline uint16_t flush_half(uint16_t bits) {
    return (bits & 0x7c00) == 0 ? uint16_t(bits & 0x8000) : bits;
}

// NaN becomes +0.
template <class T>
inline T saturate_unit(T value) {
    return value > 0 ? (value < 1 ? value : T(1)) : T(0);
}

inline float half_to_float(uint16_t half) {
    const uint32_t magnitude = uint32_t(half & 0x7fff) << 13;
    const uint32_t sign = uint32_t(half & 0x8000) << 16;
    const uint32_t scaled = bits_of(as_float(magnitude) * 0x1p112f);
    return as_float(sign | (magnitude >= 0x0f800000 ? scaled | 0x7f800000 : scaled));
}

// Round to nearest even.
inline uint16_t float_to_half(float value) {
    const uint32_t magnitude = bits_of(value) & 0x7fffffff;
    const uint32_t sign = bits_of(value) >> 16 & 0x8000;
    const uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    const uint32_t subnormal = bits_of(as_float(magnitude) + 0.5f) - 0x3f000000;
    uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
    result = magnitude >= 0x477ff000 ? 0x7c00 : result;
    result = sign | result;
    return uint16_t(magnitude > 0x7f800000 ? kNan16 : result);
}

inline float brain_to_float(uint16_t brain) {
    return as_float(uint32_t{brain} << 16);
}

// Round to nearest even.
inline uint16_t float_to_brain(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? kNan16 : rounded);
}

// To float with the last bit telling "inexact" (round to odd): rounding it again to a format with
// at least two bits less gives what rounding `value` at once would.
inline float to_float_odd(double value) {
    const auto nearest = float(value);
    const uint32_t bits = bits_of(nearest);
    const double back = nearest;
    if (back == value || value != value) return nearest;
    const bool too_far = (back > value) == (value > 0);
    return as_float((too_far ? bits - 1 : bits) | 1);
}

// a * b + c for operands of at most 12 significant bits, rounded to odd.
inline float fma_odd(float a, float b, float c) {
    const double product = double(a) * double(b);
    const double sum = product + double(c);
    const double rest = sum - product;
    const double error = (product - (sum - rest)) + (double(c) - rest);
    if ((error > 0 || error < 0) && (bits_of(sum) & 1) == 0) {
        const bool away = (error > 0) == (sum > 0);
        return to_float_odd(as_double(away ? bits_of(sum) + 1 : bits_of(sum) - 1));
    }
    return to_float_odd(sum);
}

// The processor's rounding mode for a scope; other threads and callers keep theirs. The memory
// clobbers keep loads of operands after and stores of results before the change back.
class RoundingScope {
public:
    explicit RoundingScope(uint32_t control) : saved_(__builtin_ia32_stmxcsr()) {
        __builtin_ia32_ldmxcsr((saved_ & ~0x6000u) | control);
        asm volatile("" ::: "memory");
    }
    ~RoundingScope() {
        asm volatile("" ::: "memory");
        __builtin_ia32_ldmxcsr(saved_);
    }
    RoundingScope(const RoundingScope&) = delete;
    RoundingScope& operator=(const RoundingScope&) = delete;

private:
    uint32_t saved_;
};

template <ptx::Rounding kRounding>
constexpr uint32_t kRoundingControl = kRounding == ptx::Rounding::kRz   ? 0x6000
                                      : kRounding == ptx::Rounding::kRm ? 0x2000
                                      : kRounding == ptx::Rounding::kRp ? 0x4000
                                                                        : 0;

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
