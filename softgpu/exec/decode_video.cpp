// SPDX-License-Identifier: Apache-2.0
// The video instructions: on four bytes or two halves of a word, and on one of its parts.
#include <bit>

#include "softgpu/exec/decoder.h"
#include "softgpu/exec/video.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Operand;

bool Decoder::decode_video(const Instruction& instruction) {
    VideoForm form;
    Insn insn;
    insn.handler = find_video(key_of(instruction), form);
    if (insn.handler == nullptr) return false;
    place_operands(instruction, insn);
    if (instruction.operands[1].select_unit != 0) form.select_a = instruction.operands[1].select;
    if (instruction.operands[2].select_unit != 0) form.select_b = instruction.operands[2].select;
    // The destination's digits name the parts that are written.
    const Operand& to = instruction.operands[0];
    if (to.select_unit != 0) {
        form.write = 0;
        for (uint16_t left = to.select, digit = 0; digit == 0 || left != 0; left >>= 4, ++digit) {
            form.write = uint8_t(form.write | 1u << (left & 3));
        }
    }
    insn.imm = std::bit_cast<uint64_t>(form);
    emit_guarded(insn);
    return true;
}

bool Decoder::decode_scalar_video(const Instruction& instruction) {
    ScalarVideoForm form;
    Insn insn;
    insn.handler = find_scalar_video(key_of(instruction), form);
    if (insn.handler == nullptr) return false;
    const auto part = [](const Operand& operand) {
        if (operand.select_unit == 0) return WordPart{};
        const uint8_t bits = operand.select_unit == 'b' ? 8 : 16;
        if (operand.select * bits >= 32) throw Refusal{"such a part of a register"};
        return WordPart{uint8_t(operand.select * bits), bits};
    };
    const std::vector<Operand>& operands = instruction.operands;
    form.a = part(operands[1]);
    form.b = part(operands[2]);
    form.d = part(operands[0]);
    form.negates_product = operands[1].minus != operands[2].minus;
    form.negates_c = operands.size() > 3 && operands[3].minus;
    const bool merges = form.d.bits != 32;
    const bool combines = form.second != ptx::Operation::kNone;
    // A third operand is what the result is merged into or combined with.
    const bool needs_c = merges || combines || form.opcode == ptx::Opcode::kVmad;
    if (needs_c != (operands.size() == 4) || (merges && combines)) {
        throw Refusal{"these operands"};
    }
    place_operands(instruction, insn);
    code_.video_forms.push_back(form);
    insn.imm = reinterpret_cast<uint64_t>(&code_.video_forms.back());
    emit_guarded(insn);
    return true;
}

}  // namespace cubar::softgpu::exec
