// SPDX-License-Identifier: Apache-2.0
// What the scalar and the SIMD video instructions do with the parts of a word.
#pragma once

#include <algorithm>
#include <cstdint>

#include "softgpu/exec/key.h"

namespace cubar::softgpu::exec {

/// The low bits as a number.
inline int64_t widen(uint64_t value, unsigned bits, bool is_signed) {
    const uint64_t part = value & ((uint64_t{1} << bits) - 1);
    const bool negative = is_signed && (part >> (bits - 1)) != 0;
    return int64_t(part) - (negative ? int64_t{1} << bits : 0);
}

/// The nearest number that so many bits hold.
inline int64_t clamp_to(int64_t value, unsigned bits, bool is_signed) {
    const int64_t most = (int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
    const int64_t least = is_signed ? -most - 1 : 0;
    return std::clamp(value, least, most);
}

inline bool holds(ptx::Compare compare, int64_t a, int64_t b) {
    switch (compare) {
        case ptx::Compare::kEq:
            return a == b;
        case ptx::Compare::kNe:
            return a != b;
        case ptx::Compare::kLt:
            return a < b;
        case ptx::Compare::kLe:
            return a <= b;
        case ptx::Compare::kGt:
            return a > b;
        default:
            return a >= b;
    }
}

}  // namespace cubar::softgpu::exec
