// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/exec/key.h"

namespace cubar::softgpu::exec {

/// A SIMD video instruction (vadd4, vset2, …) besides its operands; decode packs it into Insn::imm.
struct VideoForm {
    uint16_t select_a =
        0;  // one digit for each part of the result: which of a's (low) and b's parts
    uint16_t select_b = 0;
    uint8_t write = 0;  // one bit for each part of the result
    ptx::Opcode opcode = ptx::Opcode::kTrap;
    ptx::Compare compare = ptx::Compare::kNone;
    uint8_t flags = 0;

    enum Flag : uint8_t {
        kFour = 1,
        kSat = 2,
        kAdd = 4,
        kSignedD = 8,
        kSignedA = 16,
        kSignedB = 32
    };
};
static_assert(sizeof(VideoForm) == 8);

/// Fills in everything but the selections; null for any other instruction.
Handler find_video(const Key& key, VideoForm& form);

}  // namespace cubar::softgpu::exec
