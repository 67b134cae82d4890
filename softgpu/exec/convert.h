// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/exec/key.h"

namespace cubar::softgpu::exec {

/// What a conversion needs to know of itself besides its operands; decode packs it into Insn::imm.
struct Conversion {
    ptx::Type to;
    ptx::Type from;
    ptx::Rounding rounding;
    uint8_t to_bits;  // of the registers
    uint8_t from_bits;
    uint8_t sources;
    uint8_t flags;
    uint8_t unused;

    enum Flag : uint8_t { kFtz = 1, kSat = 2, kRelu = 4, kSatFinite = 8 };
};
static_assert(sizeof(Conversion) == 8);

/// Bits of an integer type; 0 for every other type.
unsigned integer_width(ptx::Type type);

Conversion conversion_of(const Key& key);

/// The handler of all conversions that have no faster one; null where the ISA has none either, or
/// this interpreter lacks it.
Handler find_general_convert(const Key& key);

}  // namespace cubar::softgpu::exec
