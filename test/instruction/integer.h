// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/instruction/case.h"

namespace cubar::instruction {

__extension__ typedef __int128 Wide;

// An integer type of PTX as a range of 128-bit numbers.
struct IntegerType {
    const char* name;
    unsigned bits;
    bool is_signed;

    Kind kind() const { return bits == 16 ? Kind::kB16 : bits == 32 ? Kind::kB32 : Kind::kB64; }

    // The low bits as a number of this type.
    Wide read(std::uint64_t value) const {
        const std::uint64_t shifted = value << (64 - bits);
        return is_signed ? Wide{static_cast<std::int64_t>(shifted) >> (64 - bits)}
                         : Wide{shifted >> (64 - bits)};
    }

    // The low bits of a number.
    std::uint64_t cut(Wide value) const {
        return static_cast<std::uint64_t>(value) & (~std::uint64_t{0} >> (64 - bits));
    }
};

// The low 128 bits: u64 products pass the range of Wide.
inline Wide multiply(Wide a, Wide b) {
    __extension__ typedef unsigned __int128 Unsigned;
    const auto product = static_cast<Unsigned>(a) * static_cast<Unsigned>(b);
    return static_cast<Wide>(product);
}

inline const IntegerType kU16{"u16", 16, false};
inline const IntegerType kS16{"s16", 16, true};
inline const IntegerType kU32{"u32", 32, false};
inline const IntegerType kS32{"s32", 32, true};
inline const IntegerType kU64{"u64", 64, false};
inline const IntegerType kS64{"s64", 64, true};
inline const std::vector<IntegerType> kIntegerTypes{kU16, kS16, kU32, kS32, kU64, kS64};

}  // namespace cubar::instruction
