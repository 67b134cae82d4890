// SPDX-License-Identifier: Apache-2.0
// Where operands lie: registers, constants, variables, the frame.
#include <algorithm>
#include <utility>

#include "softgpu/exec/decoder.h"

namespace cubar::softgpu::exec {

using ptx::AddressBase;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Space;
using ptx::Type;
using ptx::VariableScope;

namespace {

constexpr uint64_t kParameterAlign = 16;

}  // namespace

void Decoder::lay_out_frame() {
    uint64_t end = align_up(body_.local_size, kParameterAlign);
    if (!code_.is_entry) {
        for (const ptx::Variable& parameter : function_.parameters) {
            code_.parameters.push_back(formal(parameter, end));
        }
        end = align_up(end, kParameterAlign);
        for (const ptx::Variable& result : function_.returns) {
            Transfer place = formal(result, end);
            std::swap(place.from, place.to);
            std::swap(place.from_slot, place.to_slot);
            code_.results.push_back(place);
        }
    }
    call_area_at_ = align_up(end, kParameterAlign);
    code_.frame_bytes = align_up(call_area_at_ + body_.param_size, kParameterAlign);
}

Transfer Decoder::formal(const ptx::Variable& variable, uint64_t& end) {
    Transfer place;
    if (variable.register_index != ptx::kNoIndex) {
        place.to_slot = true;
        place.to = variable.register_index;  // a slot once registers are assigned
        place.bytes = std::max(container_bits(variable.type) / 8, 4u);
        return place;
    }
    end = align_up(end, std::max<uint64_t>(variable.align, 1));
    place.to = end;
    place.bytes = uint32_t(variable.size);
    end += variable.size;
    return place;
}

uint64_t Decoder::frame_offset(VariableScope scope, uint32_t index) const {
    switch (scope) {
        case VariableScope::kParameter:
            return code_.parameters[index].to;
        case VariableScope::kReturn:
            return code_.results[index].from;
        default: {
            const ptx::Variable& variable = body_.variables[index];
            const bool is_parameter = variable.space == Space::kParam;
            return variable.offset + (is_parameter ? call_area_at_ : 0);
        }
    }
}

const ptx::Variable& Decoder::variable(VariableScope scope, uint32_t index) const {
    switch (scope) {
        case VariableScope::kModule:
            return image_.module->variables[index];
        case VariableScope::kParameter:
            return function_.parameters[index];
        case VariableScope::kReturn:
            return function_.returns[index];
        default:
            return body_.variables[index];
    }
}

Decoder::Location Decoder::locate(VariableScope scope, uint32_t index) const {
    const ptx::Variable& var = variable(scope, index);
    if (scope == VariableScope::kParameter && code_.is_entry) {
        return {Place::kKernelParameter, var.offset, Space::kParam};
    }
    if (scope == VariableScope::kParameter || scope == VariableScope::kReturn ||
        (scope == VariableScope::kBody && var.space != Space::kShared)) {
        if (scope == VariableScope::kBody && var.space != Space::kLocal &&
            var.space != Space::kParam) {
            throw Refusal{"variable " + var.name + " in function scope"};
        }
        return {Place::kFrame, frame_offset(scope, index), Space::kLocal};
    }
    if (var.space == Space::kShared) {
        if (var.is_unsized) return {Place::kAddress, kernel_.dynamic_offset(), Space::kShared};
        if (scope == VariableScope::kBody) {
            const auto at = kernel_.body_shared.find({code_.index, index});
            if (at == kernel_.body_shared.end()) throw Refusal{"shared variable " + var.name};
            return {Place::kAddress, at->second, Space::kShared};
        }
        const auto at = kernel_.shared_offsets.find(index);
        if (at == kernel_.shared_offsets.end()) {
            throw Refusal{"shared variable " + var.name + " reached through a pointer"};
        }
        return {Place::kAddress, at->second, Space::kShared};
    }
    if (image_.addresses[index] == 0) throw Refusal{"variable " + var.name + " has no storage"};
    return {Place::kAddress, image_.addresses[index], var.space};
}

unsigned Decoder::container(const Operand& operand) const {
    if (operand.kind == OperandKind::kRegister) {
        return container_bits(body_.registers[operand.index].type);
    }
    return container_bits(operand.type);
}

Slot Decoder::slot(const Operand& operand) {
    switch (operand.kind) {
        case OperandKind::kRegister: {
            const Slot at = file_.slot(operand.index);
            if (!operand.negated) return at;
            const Slot inverted = file_.add_temporary(1);
            Key key;
            key.opcode = Opcode::kNot;
            key.type[0] = Type::kPred;
            Insn& insn = emit({});
            insn.handler = handlers()(key);
            insn.op[0] = inverted;
            insn.op[1] = at;
            return inverted;
        }
        case OperandKind::kImmediate:
            return pool_.add(operand.value, container_bits(operand.type));
        case OperandKind::kSink:
            return file_.dump();
        case OperandKind::kSpecial: {
            const bool is_predicate = operand.type == Type::kPred;
            const unsigned bits = is_predicate ? 1 : std::max(container_bits(operand.type), 32u);
            const Slot to = file_.add_temporary(bits);
            Insn& insn = emit({});
            insn.handler = move_handler(MoveForm::kSpecial, bits, operand.special);
            insn.op[0] = to;
            insn.aux = uint16_t(operand.special);
            insn.count = operand.component;
            return to;
        }
        case OperandKind::kVariable: {
            const unsigned bits = container_bits(operand.type);
            const Location at = locate(operand.scope, operand.index);
            if (at.place == Place::kAddress) return pool_.add(at.address + operand.value, bits);
            const Slot to = file_.add_temporary(bits);
            const MoveForm form =
                at.place == Place::kFrame ? MoveForm::kFrameAddress : MoveForm::kParameterAddress;
            Insn& insn = emit({});
            insn.handler = move_handler(form, bits);
            insn.op[0] = to;
            insn.imm = at.address + operand.value;
            return to;
        }
        case OperandKind::kFunction:
            return pool_.add(function_address(operand.index), 64);
        default:
            throw Refusal{"this operand"};
    }
}

void Decoder::place_operands(const ptx::Instruction& instruction, Insn& insn) {
    if (instruction.operands.size() > 6) throw Refusal{"so many operands"};
    for (size_t index = 0; index < instruction.operands.size(); ++index) {
        insn.op[index] = slot(instruction.operands[index]);
    }
}

Space Decoder::address(const Operand& operand, Space space, Insn& insn) {
    insn.imm = operand.value;
    insn.aux = uint16_t(next_cache_++);
    switch (operand.base) {
        case AddressBase::kRegister:
            insn.op[4] = file_.slot(operand.index);
            if (container_bits(body_.registers[operand.index].type) == 32) insn.flags |= kAddress32;
            if (space != Space::kParam) return space;
            return code_.is_entry ? Space::kGeneric : Space::kLocal;
        case AddressBase::kAbsolute:
            insn.op[4] = pool_.add(0, 64);
            if (space != Space::kParam) return space;
            return code_.is_entry ? Space::kGeneric : Space::kLocal;
        default:
            break;
    }
    const Location at = locate(operand.scope, operand.index);
    insn.op[4] = pool_.add(0, 64);
    insn.imm += at.address;
    switch (at.place) {
        case Place::kKernelParameter:
            return Space::kParam;
        case Place::kFrame:
            insn.flags |= kFrameRelative;
            return Space::kLocal;
        default:
            return at.space == Space::kShared ? Space::kShared : Space::kGlobal;
    }
}

}  // namespace cubar::softgpu::exec
