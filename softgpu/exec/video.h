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

/// A word, or one byte or half of it.
struct WordPart {
    uint8_t at = 0;  // its lowest bit
    uint8_t bits = 32;
};

/// A scalar video instruction (vadd, vset, …) besides its registers.
struct ScalarVideoForm {
    ptx::Opcode opcode = ptx::Opcode::kTrap;
    ptx::Compare compare = ptx::Compare::kNone;
    ptx::Operation second = ptx::Operation::kNone;  // with the third operand
    WordPart d;                                     // not a word: merged into the third operand
    WordPart a;
    WordPart b;
    bool signed_d = false;
    bool signed_a = false;
    bool signed_b = false;
    bool sat = false;
    bool wraps = false;     // vshl, vshr: the distance, instead of being clamped
    bool plus_one = false;  // vmad.po
    bool negates_product = false;
    bool negates_c = false;
    uint8_t shift = 0;  // vmad: of the sum, to the right
};

/// Fills in everything but the parts; null for any other instruction.
Handler find_scalar_video(const Key& key, ScalarVideoForm& form);

}  // namespace cubar::softgpu::exec
