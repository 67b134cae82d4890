// SPDX-License-Identifier: Apache-2.0
// Branches, calls and barriers.
#include <algorithm>
#include <utility>

#include "softgpu/exec/decoder.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;

void Decoder::decode_bra(const Instruction& instruction) {
    Insn insn;
    insn.handler = control(Opcode::kBra);
    emit_guarded(insn);
    label_jumps_.push_back({code_.code.size() - 1, instruction.operands[0].index});
}

void Decoder::decode_brx(const Instruction& instruction) {
    Insn insn;
    insn.handler = control(Opcode::kBrx);
    insn.op[0] = slot(instruction.operands[0]);
    insn.aux = uint16_t(tables_.size());
    tables_.push_back(body_.targets[instruction.operands[1].index]);
    emit_guarded(insn);
}

Transfer Decoder::actual(const Operand& operand, bool is_result) {
    Transfer place;
    if (operand.kind == OperandKind::kVariable) {
        const Location at = locate(operand.scope, operand.index);
        if (at.place != Place::kFrame) throw Refusal{"such an argument"};
        place.from = at.address + operand.value;
        place.bytes = uint32_t(variable(operand.scope, operand.index).size);
    } else {
        place.from_slot = true;
        place.from = slot(operand);
        place.bytes = std::max(container(operand) / 8, 4u);
    }
    if (is_result) {
        std::swap(place.from, place.to);
        std::swap(place.from_slot, place.to_slot);
    }
    return place;
}

Builtin Decoder::builtin_named(const ptx::Function& callee) {
    if (callee.is_defined) return Builtin::kNone;
    if (callee.name == "vprintf") return Builtin::kPrintf;
    if (callee.name == "__assertfail") return Builtin::kAssertFail;
    if (callee.name == "malloc") return Builtin::kMalloc;
    if (callee.name == "free") return Builtin::kFree;
    if (callee.name == "cudaGraphSetConditional") return Builtin::kSetCondition;
    throw Refusal{"the undefined function " + callee.name};
}

void Decoder::decode_call(const Instruction& instruction) {
    CallSite site;
    const Operand& callee = instruction.operands[1];
    if (callee.kind == OperandKind::kFunction) {
        site.callee = callee.index;
        site.builtin = builtin_named(image_.module->functions[callee.index]);
    } else {
        site.callee = CallSite::kIndirect;
        site.target = slot(callee);
        code_.calls_indirectly = true;
    }
    for (const Operand& operand : instruction.operands[0].elements) {
        site.results.push_back(actual(operand, true));
    }
    if (instruction.operands.size() > 2) {
        for (const Operand& operand : instruction.operands[2].elements) {
            site.arguments.push_back(actual(operand, false));
        }
    }
    Insn insn;
    insn.handler = control(Opcode::kCall);
    insn.imm = code_.call_sites.size();
    code_.call_sites.push_back(std::move(site));
    emit_guarded(insn);
}

void Decoder::decode_barrier(const Instruction& instruction) {
    Insn insn;
    insn.handler = require(key_of(instruction));
    const bool reduces = instruction.has(Modifier::kRed);
    const std::vector<Operand>& operands = instruction.operands;
    if (instruction.has(Modifier::kWarp)) {
        insn.op[0] = slot(operands[0]);
        emit_guarded(insn);
        return;
    }
    if (instruction.has(Modifier::kCluster)) {
        emit_guarded(insn);
        return;
    }
    insn.op[1] = pool_.add(0, 32);
    insn.op[2] = file_.dump();
    insn.op[3] = kAlways;
    const size_t first = reduces ? 1 : 0;
    const size_t last = reduces ? operands.size() - 1 : operands.size();
    insn.op[0] = slot(operands[first]);
    if (last > first + 1) insn.op[1] = slot(operands[first + 1]);
    if (reduces) {
        insn.op[2] = slot(operands[0]);
        insn.op[3] = slot(operands.back());
        insn.aux = uint16_t(instruction.operation);
    }
    emit_guarded(insn);
}

}  // namespace cubar::softgpu::exec
