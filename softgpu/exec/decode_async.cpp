// SPDX-License-Identifier: Apache-2.0
// Asynchronous copies and mbarriers.
#include "softgpu/exec/async.h"
#include "softgpu/exec/decoder.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Space;
using ptx::Type;

Slot Decoder::address_value(const Operand& operand, Space space) {
    Insn at;
    static_cast<void>(address(operand, space, at));
    if ((at.flags & kFrameRelative) != 0) throw Refusal{"an address of local memory"};
    const bool narrow = (at.flags & kAddress32) != 0;
    if (at.imm == 0 && !narrow) return at.op[4];
    const Slot to = file_.add_temporary(64);
    Key key;
    key.opcode = Opcode::kCvta;
    key.bits[0] = 64;
    key.bits[1] = narrow ? 32 : 64;
    Insn& insn = emit({});
    insn.handler = require(key);
    insn.op[0] = to;
    insn.op[1] = at.op[4];
    insn.imm = at.imm;
    return to;
}

void Decoder::decode_cp(const Instruction& instruction) {
    if (instruction.has(Modifier::kMbarrier)) return decode_mbarrier(instruction);
    const bool waits = instruction.has(Modifier::kCommitGroup) ||
                       instruction.has(Modifier::kWaitGroup) ||
                       instruction.has(Modifier::kWaitAll) || instruction.has(Modifier::kPrefetch);
    if (waits) return decode_bare(instruction);
    if (instruction.has(Modifier::kBulk)) return decode_bulk_copy(instruction);
    const std::vector<Operand>& operands = instruction.operands;
    Insn insn;
    insn.op[0] = file_.dump();
    insn.count = kCopyAll;
    // The last operand may be a cache policy, of 64 bits.
    if (operands.size() > 3 && operands[3].type != Type::kB64) {
        insn.op[0] = slot(operands[3]);
        insn.count = operands[3].type == Type::kPred ? kCopyUnless : kCopySize;
    }
    insn.op[3] = address_value(operands[1], Space::kGlobal);
    static_cast<void>(address(operands[0], Space::kShared, insn));
    ++next_cache_;  // the source's
    Key key = key_of(instruction);
    key.bits[0] = uint8_t(operands[2].value * 8);
    insn.handler = require(key);
    emit_guarded(insn);
}

void Decoder::decode_bulk_copy(const Instruction& instruction) {
    const std::vector<Operand>& operands = instruction.operands;
    // The parser lets other forms through, with any operands.
    const bool to_many = instruction.has(Modifier::kMulticastCluster);
    if (operands.size() < 3 || operands[0].kind != OperandKind::kAddress ||
        operands[1].kind != OperandKind::kAddress || operands[2].type != Type::kU32 ||
        (to_many && (operands.size() < 5 || operands[4].type != Type::kB16))) {
        throw Refusal{};
    }
    Insn insn;
    insn.op[0] = address_value(operands[0], instruction.space);
    insn.op[1] = address_value(operands[1], instruction.space2);
    insn.op[2] = slot(operands[2]);
    insn.op[3] = file_.dump();
    const auto shared = [](Space space) {
        return space == Space::kShared || space == Space::kSharedCluster;
    };
    if (shared(instruction.space)) insn.count |= kBulkToShared;
    if (shared(instruction.space2)) insn.count |= kBulkFromShared;
    if (instruction.has(Modifier::kCompleteTx)) {
        insn.count |= kBulkCounts;
        insn.op[3] = address_value(operands[3], Space::kShared);
    }
    if (to_many) {
        insn.count |= kBulkToMany;
        insn.op[4] = slot(operands[4]);
    }
    insn.aux = uint16_t(next_cache_);
    next_cache_ += 3;
    insn.handler = require(key_of(instruction));
    emit_guarded(insn);
}

void Decoder::decode_mbarrier(const Instruction& instruction) {
    const std::vector<Operand>& operands = instruction.operands;
    Insn insn;
    insn.op[0] = file_.dump();
    insn.op[1] = pool_.add(1, 32);  // an arrival's count
    size_t at = 0;
    if (operands[0].kind != OperandKind::kAddress) insn.op[0] = slot(operands[at++]);
    if (instruction.has(Modifier::kPendingCount)) {
        insn.op[1] = slot(operands[1]);
        insn.handler = require(key_of(instruction));
        emit_guarded(insn);
        return;
    }
    const Operand& where = operands[at++];
    // What follows the state or parity that is waited for is a hint how long.
    if (at < operands.size()) insn.op[1] = slot(operands[at]);
    const Space space = address(where, instruction.space, insn);
    insn.count = space == Space::kShared || space == Space::kSharedCluster ? 1 : 0;
    insn.handler = require(key_of(instruction));
    emit_guarded(insn);
}

}  // namespace cubar::softgpu::exec
