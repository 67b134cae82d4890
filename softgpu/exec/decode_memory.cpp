// SPDX-License-Identifier: Apache-2.0
// Memory accesses, addresses and moves.
#include <algorithm>

#include "softgpu/exec/decoder.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Space;

void Decoder::decode_memory(const Instruction& instruction) {
    const bool store = instruction.opcode == Opcode::kSt;
    const Operand& data = instruction.operands[store ? 1 : 0];
    const Operand& where = instruction.operands[store ? 0 : 1];
    Insn insn;
    Key key = key_of(instruction);
    const bool vector = data.kind == OperandKind::kVector;
    const size_t count = vector ? data.elements.size() : 1;
    if (count > 4) return decode_wide_memory(instruction);
    unsigned bits = 0;
    for (size_t index = 0; index < count; ++index) {
        const Operand& element = vector ? data.elements[index] : data;
        insn.op[index] = slot(element);
        if (element.kind != OperandKind::kSink) bits = container(element);
    }
    key.bits[0] = uint8_t(bits != 0 ? bits : container_bits(instruction.type()));
    insn.count = uint8_t(count);
    key.space = address(where, instruction.space, insn);
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_wide_memory(const Instruction& instruction) {
    const bool store = instruction.opcode == Opcode::kSt;
    const std::vector<Operand>& all = instruction.operands[store ? 1 : 0].elements;
    for (size_t first = 0; first < all.size(); first += 4) {
        Instruction part = instruction;
        Operand& data = part.operands[store ? 1 : 0];
        data.elements.assign(all.begin() + std::ptrdiff_t(first),
                             all.begin() + std::ptrdiff_t(first + 4));
        part.operands[store ? 0 : 1].value += first * ptx::bytes_of(instruction.type());
        decode_memory(part);
    }
}

void Decoder::decode_atomic(const Instruction& instruction) {
    const bool has_result = instruction.opcode == Opcode::kAtom;
    Insn insn;
    Key key = key_of(instruction);
    const size_t at = has_result ? 1 : 0;
    const Operand& value = instruction.operands[at + 1];
    if (value.kind == OperandKind::kVector) return decode_vector_atomic(instruction);
    insn.op[0] = has_result ? slot(instruction.operands[0]) : file_.dump();
    insn.op[1] = slot(value);
    if (instruction.operands.size() > at + 2 && instruction.operation == ptx::Operation::kCas) {
        insn.op[2] = slot(instruction.operands[at + 2]);
    }
    key.space = address(instruction.operands[at], instruction.space, insn);
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_vector_atomic(const Instruction& instruction) {
    const size_t at = instruction.opcode == Opcode::kAtom ? 1 : 0;
    const Operand& address = instruction.operands[at];
    const std::vector<Operand>& values = instruction.operands[at + 1].elements;
    const std::vector<Operand>* const results =
        at == 1 ? &instruction.operands[0].elements : nullptr;
    if (values.size() != instruction.vector_width ||
        (results != nullptr && results->size() != values.size())) {
        throw Refusal{"such vectors"};
    }
    for (size_t index = 0; index < values.size(); ++index) {
        if (container(values[index]) != container_bits(instruction.type())) {
            throw Refusal{"such registers"};
        }
        Instruction part = instruction;
        part.operands[at].value += index * ptx::bytes_of(instruction.type());
        part.operands[at + 1] = values[index];
        if (results != nullptr) {
            const Operand& result = (*results)[index];
            const bool is_address =
                address.base == ptx::AddressBase::kRegister && address.index == result.index;
            const bool is_value =
                std::any_of(values.begin() + std::ptrdiff_t(index) + 1, values.end(),
                            [&](const Operand& later) { return later.index == result.index; });
            if (is_address || is_value) throw Refusal{"a result among its operands"};
            part.operands[0] = result;
        }
        decode_atomic(part);
    }
}

void Decoder::decode_async_store(const Instruction& instruction) {
    if (instruction.has(Modifier::kBulk) || instruction.operands.size() != 3) throw Refusal{};
    Instruction store = instruction;
    store.operands.pop_back();
    // What is in modifiers now says nothing that the store itself or the arrival lacks.
    store.modifiers.clear();
    store.opcode == Opcode::kSt ? decode_memory(store) : decode_atomic(store);
    Insn insn;
    insn.op[0] = file_.dump();
    insn.op[1] =
        pool_.add(uint64_t{ptx::bytes_of(instruction.type())} * instruction.vector_width, 32);
    const Space space = address(instruction.operands[2], instruction.space, insn);
    insn.count = space == Space::kShared || space == Space::kSharedCluster ? 1 : 0;
    Key key;
    key.opcode = Opcode::kMbarrier;
    key.set(Modifier::kCompleteTxOp);
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_mov(const Instruction& instruction) {
    const Operand& to = instruction.operands[0];
    const Operand& from = instruction.operands[1];
    if (to.kind == OperandKind::kVector || from.kind == OperandKind::kVector) {
        return decode_vector_mov(instruction);
    }
    Insn insn;
    Key key = key_of(instruction);
    insn.op[0] = slot(to);
    key.bits[0] = uint8_t(container(to));
    if (from.kind == OperandKind::kSpecial) {
        insn.handler = move_handler(MoveForm::kSpecial, key.bits[0], from.special);
        insn.aux = uint16_t(from.special);
        insn.count = from.component;
    } else if (from.kind == OperandKind::kVariable &&
               locate(from.scope, from.index).place != Place::kAddress) {
        const Location at = locate(from.scope, from.index);
        insn.handler = move_handler(
            at.place == Place::kFrame ? MoveForm::kFrameAddress : MoveForm::kParameterAddress,
            key.bits[0]);
        insn.imm = at.address + from.value;
    } else {
        insn.handler = require(key);
        insn.op[1] = slot(from);
    }
    emit_guarded(insn);
}

void Decoder::decode_vector_mov(const Instruction& instruction) {
    const bool pack = instruction.operands[1].kind == OperandKind::kVector;
    const Operand& whole = instruction.operands[pack ? 0 : 1];
    const std::vector<Operand>& parts = instruction.operands[pack ? 1 : 0].elements;
    if (whole.kind == OperandKind::kVector || parts.size() > 4) throw Refusal{"vectors"};
    Insn insn;
    Key key = key_of(instruction);
    key.form = pack ? MoveForm::kPack : MoveForm::kUnpack;
    key.vector_width = uint8_t(parts.size());
    key.whole_bits = uint8_t(ptx::bits_of(instruction.type()));
    const unsigned part_bits = key.whole_bits / unsigned(parts.size());
    key.bits[1] = uint8_t(std::max(part_bits, 16u));
    insn.op[0] = slot(whole);
    for (size_t index = 0; index < parts.size(); ++index) {
        if (parts[index].kind != OperandKind::kSink) {
            key.bits[1] = uint8_t(container(parts[index]));
        }
        insn.op[1 + index] = slot(parts[index]);
    }
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_cvta(const Instruction& instruction) {
    const bool to_space = instruction.has(Modifier::kTo);
    uint64_t window = 0;
    switch (instruction.space) {
        case Space::kShared:
        case Space::kSharedCluster:
            window = kSharedWindow;
            break;
        case Space::kLocal:
            window = kLocalWindow;
            break;
        case Space::kParam:
            window = code_.is_entry ? 0 : kLocalWindow;
            break;
        default:
            break;
    }
    const Operand& from = instruction.operands[1];
    Insn insn;
    Key key = key_of(instruction);
    insn.op[0] = slot(instruction.operands[0]);
    insn.op[1] = slot(from);
    insn.imm = to_space ? 0 - window : window;
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_isspacep(const Instruction& instruction) {
    Insn insn;
    insn.handler = require(key_of(instruction));
    insn.op[0] = slot(instruction.operands[0]);
    insn.op[1] = slot(instruction.operands[1]);
    insn.op[2] = pool_.add(reinterpret_cast<uint64_t>(image_.constant_block), 64);
    insn.op[3] = pool_.add(image_.constant_bytes, 64);
    insn.aux = uint16_t(instruction.space);
    emit_guarded(insn);
}

}  // namespace cubar::softgpu::exec
