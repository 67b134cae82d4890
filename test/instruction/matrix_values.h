// SPDX-License-Identifier: Apache-2.0
// Elements of matrices: their values, and values that suit products of matrices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "test/instruction/case.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {

using U64 = std::uint64_t;
using U32 = std::uint32_t;
using S64 = std::int64_t;

enum class Class { kUnsigned, kSigned, kFloat, kBits };

struct Element {
    const char* name;
    unsigned bits;
    Class kind;
    Format format{};
};

inline constexpr Element kF16{"f16", 16, Class::kFloat, kFormatF16};
inline constexpr Element kBf16{"bf16", 16, Class::kFloat, kFormatBf16};
inline constexpr Element kTf32{"tf32", 32, Class::kFloat, kFormatF32};
inline constexpr Element kF32{"f32", 32, Class::kFloat, kFormatF32};
inline constexpr Element kF64{"f64", 64, Class::kFloat, kFormatF64};
inline constexpr Element kE4m3{"e4m3", 8, Class::kFloat, {3, 4}};
inline constexpr Element kE5m2{"e5m2", 8, Class::kFloat, {2, 5}};
inline constexpr Element kU8{"u8", 8, Class::kUnsigned};
inline constexpr Element kS8{"s8", 8, Class::kSigned};
inline constexpr Element kU4{"u4", 4, Class::kUnsigned};
inline constexpr Element kS4{"s4", 4, Class::kSigned};
inline constexpr Element kB1{"b1", 1, Class::kBits};
inline constexpr Element kS32{"s32", 32, Class::kSigned};

// Floats near one: exact ones have few bits, so that every order of summing gives the same; others
// are positive and have all their bits, so that every order gives nearly the same.
inline U64 tame(const Element& element, bool exact, U64 bits) {
    if (element.kind != Class::kFloat) return bits;
    const Format& format = element.format;
    const U64 one = ((U64{1} << (format.exponent - 1)) - 1) << format.mantissa;
    U64 mantissa = bits & ((U64{1} << format.mantissa) - 1);
    if (exact) mantissa = mantissa >> (format.mantissa - 2) << (format.mantissa - 2);
    const U64 sign = exact ? bits & U64{1} << (element.bits - 1) : 0;
    return sign | one | mantissa;
}

inline Quad value_of(const Element& element, U64 bits) {
    switch (element.kind) {
        case Class::kFloat:
            return decode(element.format, element.name[0] == 't' ? bits & ~U64{0x1fff} : bits);
        case Class::kSigned: {
            const unsigned unused = 64 - element.bits;
            return static_cast<Quad>(static_cast<S64>(bits << unused) >> unused);
        }
        default:
            return static_cast<Quad>(bits);
    }
}

// A lane's registers, one after the other in a Row of 64-bit words.
struct Bits {
    static U64 get(const Row& row, unsigned at, unsigned bits) {
        const U64 word = row[at / 64] >> at % 64;
        return bits == 64 ? word : word & ((U64{1} << bits) - 1);
    }
    static void set(Row& row, unsigned at, unsigned bits, U64 value) {
        const U64 mask = bits == 64 ? ~U64{0} : (U64{1} << bits) - 1;
        row[at / 64] = (row[at / 64] & ~(mask << at % 64)) | (value & mask) << at % 64;
    }
};

// The bits of a sum that has been computed exactly.
inline U64 encode_result(const Element& element, bool saturate, Quad sum) {
    if (element.kind == Class::kFloat) return encode(element.format, sum, Round::kNearest);
    const auto whole = static_cast<S64>(sum);
    if (!saturate) return static_cast<U64>(whole);
    return static_cast<U64>(std::min<S64>(std::max<S64>(whole, INT32_MIN), INT32_MAX));
}

// "{%x3, %x4}"
inline std::string list_of(const std::string& prefix, unsigned first, unsigned count) {
    std::string text = "{";
    for (unsigned i = 0; i < count; ++i) {
        text += (i == 0 ? "" : ", ") + prefix + std::to_string(first + i);
    }
    return text + "}";
}

}  // namespace cubar::instruction
