// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "softgpu/exec/warp.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::exec {

/// What a mov does besides copying a register.
enum class MoveForm : uint8_t { kCopy, kPack, kUnpack, kSpecial, kFrameAddress, kParameterAddress };

/// All that selects a handler: an instruction without its operands. Plain data, so that the
/// handlers' translation units use nothing of the standard library.
struct Key {
    ptx::Opcode opcode = ptx::Opcode::kTrap;
    ptx::Type type[4] = {};  // in the order written
    ptx::Rounding rounding = ptx::Rounding::kNone;
    ptx::Compare compare = ptx::Compare::kNone;
    ptx::BoolOp bool_op = ptx::BoolOp::kNone;
    ptx::Operation operation = ptx::Operation::kNone;
    ptx::Space space = ptx::Space::kGeneric;
    ptx::Semantics semantics = ptx::Semantics::kNone;
    bool ftz = false;
    bool sat = false;
    uint8_t vector_width = 1;
    uint8_t operands = 0;
    uint8_t bits[4] = {};  // of the registers that hold the first operands: 1 (predicate), 16 … 128
    MoveForm form = MoveForm::kCopy;
    ptx::Special special = ptx::Special::kNone;  // of MoveForm::kSpecial
    uint8_t whole_bits = 0;                      // of MoveForm::kPack and kUnpack
    bool in_quads = false;                       // mma.m8n8k4 of f16
    uint64_t modifiers[7] = {};

    [[gnu::always_inline]] bool has(ptx::Modifier modifier) const {
        const auto bit = static_cast<unsigned>(modifier);
        return (modifiers[bit / 64] >> (bit % 64) & 1) != 0;
    }
    [[gnu::always_inline]] void set(ptx::Modifier modifier) {
        const auto bit = static_cast<unsigned>(modifier);
        modifiers[bit / 64] |= uint64_t{1} << (bit % 64);
    }
};
static_assert(static_cast<unsigned>(ptx::Modifier::kCount) <= 7 * 64);

/// Null when there is no handler for it.
using FindHandler = Handler (*)(const Key&);

/// The finder of control.cpp; the same for every instruction set.
Handler find_control(const Key& key);

/// The finder of the best instruction set that this processor has.
FindHandler handlers();

}  // namespace cubar::softgpu::exec
