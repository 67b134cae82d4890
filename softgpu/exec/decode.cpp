// SPDX-License-Identifier: Apache-2.0
// From the syntax tree of a function to instructions with handlers.
#include <algorithm>
#include <cstring>
#include <utility>

#include "softgpu/exec/block.h"
#include "softgpu/exec/convert.h"
#include "softgpu/exec/decoder.h"
#include "softgpu/exec/stack.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::Type;

namespace {

std::string spell(const Instruction& instruction) {
    std::string text(ptx::to_string(instruction.opcode));
    for (const Modifier modifier : instruction.modifiers) {
        text += '.';
        text += ptx::to_string(modifier);
    }
    for (unsigned index = 0; index < instruction.type_count; ++index) {
        text += '.';
        text += ptx::to_string(instruction.types[index]);
    }
    return text;
}

bool stores_async(const Instruction& instruction) {
    return instruction.has(Modifier::kAsync) || instruction.has(Modifier::kBulk);
}

bool is_reserved_shared(ptx::Special special) {
    switch (special) {
        case ptx::Special::kReservedSmemBegin:
        case ptx::Special::kReservedSmemEnd:
        case ptx::Special::kReservedSmemCap:
        case ptx::Special::kReservedSmemOffset:
            return true;
        default:
            return false;
    }
}

bool takes_from_stack(const ptx::Body& body) {
    return std::any_of(body.code.begin(), body.code.end(), [](const Instruction& instruction) {
        return instruction.opcode == Opcode::kAlloca;
    });
}

}  // namespace

Decoder::Decoder(Image& image, KernelCode& kernel, FunctionCode& code,
                 const ptx::Function& function, const ptx::Body& body)
    : image_(image), kernel_(kernel), code_(code), function_(function), body_(body), file_(body) {
    lay_out_frame();
}

bool Decoder::run(std::string& log) {
    const std::vector<FlowBlock> blocks = find_blocks(body_);
    const std::vector<uint32_t> order = order_blocks(blocks);
    std::vector<uint32_t> handed_over;
    for (const Transfer& place : code_.parameters) {
        if (place.to_slot) handed_over.push_back(uint32_t(place.to));
    }
    for (const Transfer& place : code_.results) {
        if (place.from_slot) handed_over.push_back(uint32_t(place.from));
    }
    file_.assign(blocks, order, handed_over);
    // What a function took from the stack goes back when it returns.
    if (!code_.is_entry && takes_from_stack(body_)) {
        saved_stack_ = file_.add_temporary(64);
        add_stack_handler(Opcode::kStacksave, *saved_stack_, false);
    }
    std::vector<size_t> starts(blocks.size(), 0);
    for (size_t position = 0; position < order.size(); ++position) {
        const FlowBlock& block = blocks[order[position]];
        starts[order[position]] = code_.code.size();
        if (block.is_target) emit({}).handler = join_handler();
        for (uint32_t at = block.begin; at < block.end; ++at) decode(body_.code[at], log);
        if (block.begin == body_.code.size()) {
            if (saved_stack_) add_stack_handler(Opcode::kStackrestore, *saved_stack_, false);
            emit({}).handler = control(Opcode::kRet);
        } else if (block.next != FlowBlock::kNone &&
                   (position + 1 == order.size() || order[position + 1] != block.next)) {
            emit({}).handler = control(Opcode::kBra);
            block_jumps_.push_back({code_.code.size() - 1, block.next});
        }
    }
    if (failed_) return false;
    finish(blocks, starts);
    return true;
}

void Decoder::decode(const Instruction& instruction, std::string& log) {
    line_ = instruction.line;
    try {
        guard_ = kAlways;
        guard_invert_ = 0;
        if (instruction.predicate != ptx::kNoIndex) {
            guard_ = file_.slot(instruction.predicate);
            guard_invert_ = instruction.negate_predicate ? kAllLanes : 0;
        }
        decode_one(instruction);
    } catch (const Refusal& refusal) {
        failed_ = true;
        log += "line " + std::to_string(instruction.line) + ": " + spell(instruction);
        log += refusal.reason.empty() ? "" : " with " + refusal.reason;
        log += " is not supported\n";
    }
}

void Decoder::decode_one(const Instruction& instruction) {
    switch (instruction.opcode) {
        case Opcode::kLd:
        case Opcode::kLdu:
        case Opcode::kSt:
            return stores_async(instruction) ? decode_async_store(instruction)
                                             : decode_memory(instruction);
        case Opcode::kAtom:
        case Opcode::kRed:
            return stores_async(instruction) ? decode_async_store(instruction)
                                             : decode_atomic(instruction);
        case Opcode::kLop3:
            return decode_lop3(instruction);
        case Opcode::kMma:
            return decode_mma(instruction);
        case Opcode::kWmma:
            return decode_wmma(instruction);
        case Opcode::kLdmatrix:
        case Opcode::kStmatrix:
            return decode_matrix_access(instruction);
        case Opcode::kCp:
            return decode_cp(instruction);
        case Opcode::kMbarrier:
            return decode_mbarrier(instruction);
        case Opcode::kCvt:
            return decode_cvt(instruction);
        case Opcode::kMov:
            return decode_mov(instruction);
        case Opcode::kCvta:
            return decode_cvta(instruction);
        case Opcode::kIsspacep:
            return decode_isspacep(instruction);
        case Opcode::kSetp:
        case Opcode::kSet:
            return decode_compare(instruction);
        case Opcode::kTestp:
            return decode_testp(instruction);
        case Opcode::kAlloca:
        case Opcode::kStacksave:
        case Opcode::kStackrestore:
            return decode_stack(instruction);
        case Opcode::kRet:
            if (saved_stack_) add_stack_handler(Opcode::kStackrestore, *saved_stack_, true);
            return decode_plain(instruction);
        case Opcode::kCreatepolicy:
            return decode_createpolicy(instruction);
        case Opcode::kBra:
            return decode_bra(instruction);
        case Opcode::kBrx:
            return decode_brx(instruction);
        case Opcode::kCall:
            return decode_call(instruction);
        case Opcode::kBar:
        case Opcode::kBarrier:
            return decode_barrier(instruction);
        case Opcode::kTex:
        case Opcode::kTld4:
            return decode_texture(instruction);
        case Opcode::kSuld:
        case Opcode::kSust:
        case Opcode::kSured:
            return decode_surface(instruction);
        case Opcode::kTxq:
        case Opcode::kSuq:
            return decode_image_query(instruction);
        case Opcode::kMembar:
        case Opcode::kFence:
        case Opcode::kPrefetch:
        case Opcode::kPrefetchu:
        case Opcode::kApplypriority:
        case Opcode::kDiscard:
        case Opcode::kGriddepcontrol:
        case Opcode::kPmevent:
            return decode_bare(instruction);
        case Opcode::kAdd:
        case Opcode::kSub:
        case Opcode::kAddc:
        case Opcode::kSubc:
        case Opcode::kMad:
        case Opcode::kMadc:
            return decode_carry(instruction);
        default:
            return decode_plain(instruction);
    }
}

Insn& Decoder::emit(const Insn& insn) {
    code_.code.push_back(insn);
    code_.code.back().line = line_;
    return code_.code.back();
}

Insn& Decoder::emit_guarded(const Insn& insn) {
    Insn& added = emit(insn);
    added.guard = guard_;
    added.guard_invert = guard_invert_;
    return added;
}

void Decoder::finish(const std::vector<FlowBlock>& blocks, const std::vector<size_t>& starts) {
    const auto label_target = [&](uint32_t label) {
        const uint32_t at = body_.labels[label].target;
        const auto block =
            std::lower_bound(blocks.begin(), blocks.end(), at,
                             [](const FlowBlock& b, uint32_t begin) { return b.begin < begin; });
        return &code_.code[starts[size_t(block - blocks.begin())]];
    };
    for (const Jump& jump : block_jumps_) {
        code_.code[jump.from].imm = reinterpret_cast<uint64_t>(&code_.code[starts[jump.target]]);
    }
    for (const Jump& jump : label_jumps_) {
        code_.code[jump.from].imm = reinterpret_cast<uint64_t>(label_target(jump.target));
    }
    for (const std::vector<uint32_t>& labels : tables_) {
        std::vector<const Insn*> targets;
        for (const uint32_t label : labels) targets.push_back(label_target(label));
        code_.branch_tables.push_back(std::move(targets));
    }
    code_.pool_bytes = pool_.bytes().size();
    code_.pool = allocate_aligned(code_.pool_bytes);
    std::memcpy(code_.pool.get(), pool_.bytes().data(), code_.pool_bytes);
    code_.register_bytes = file_.bytes();
    code_.registers = file_.live_registers();
    for (Transfer& parameter : code_.parameters) {
        if (parameter.to_slot) parameter.to = file_.slot(uint32_t(parameter.to));
    }
    for (Transfer& result : code_.results) {
        if (result.from_slot) result.from = file_.slot(uint32_t(result.from));
    }
}

Key Decoder::key_of(const Instruction& instruction) const {
    Key key;
    key.opcode = instruction.opcode;
    for (unsigned index = 0; index < 4; ++index) key.type[index] = instruction.type(index);
    key.rounding = instruction.rounding;
    key.compare = instruction.compare;
    key.bool_op = instruction.bool_op;
    key.operation = instruction.operation;
    key.space = instruction.space;
    key.semantics = instruction.semantics;
    key.ftz = instruction.ftz;
    key.sat = instruction.sat;
    key.vector_width = instruction.vector_width;
    key.operands = uint8_t(std::min<size_t>(instruction.operands.size(), 255));
    for (const Modifier modifier : instruction.modifiers) {
        key.set(modifier);
    }
    for (size_t index = 0; index < std::min<size_t>(4, instruction.operands.size()); ++index) {
        key.bits[index] = uint8_t(container(instruction.operands[index]));
    }
    return key;
}

Handler Decoder::require(const Key& key) {
    Handler handler = find_control(key);
    if (handler == nullptr) handler = handlers()(key);
    if (handler == nullptr) throw Refusal{};
    return handler;
}

Handler Decoder::control(Opcode opcode) {
    Key key;
    key.opcode = opcode;
    return find_control(key);
}

Handler Decoder::move_handler(MoveForm form, unsigned bits, ptx::Special special) {
    Key key;
    key.opcode = Opcode::kMov;
    key.form = form;
    key.bits[0] = uint8_t(bits);
    key.special = special;
    kernel_.uses_reserved_shared = kernel_.uses_reserved_shared || is_reserved_shared(special);
    const Handler handler = handlers()(key);
    if (handler == nullptr) throw Refusal{std::string(ptx::to_string(special))};
    return handler;
}

void Decoder::decode_plain(const Instruction& instruction) {
    if (decode_video(instruction) || decode_scalar_video(instruction)) return;
    Insn insn;
    insn.handler = require(key_of(instruction));
    place_operands(instruction, insn);
    emit_guarded(insn);
}

void Decoder::decode_bare(const Instruction& instruction) {
    Insn insn;
    insn.handler = require(key_of(instruction));
    emit_guarded(insn);
}

void Decoder::decode_carry(const Instruction& instruction) {
    const bool writes = instruction.has(Modifier::kCc);
    const bool reads = instruction.opcode == Opcode::kAddc || instruction.opcode == Opcode::kSubc ||
                       instruction.opcode == Opcode::kMadc;
    if (!writes && !reads) return decode_plain(instruction);
    Insn insn;
    insn.handler = require(key_of(instruction));
    place_operands(instruction, insn);
    insn.op[5] = file_.carry();
    insn.aux = writes ? 1 : 0;
    emit_guarded(insn);
}

void Decoder::decode_cvt(const Instruction& instruction) {
    const Key key = key_of(instruction);
    const Conversion how = conversion_of(key);
    Insn insn;
    insn.handler = require(key);
    place_operands(instruction, insn);
    insn.imm = std::bit_cast<uint64_t>(how);
    emit_guarded(insn);
}

void Decoder::decode_compare(const Instruction& instruction) {
    Insn insn;
    insn.handler = require(key_of(instruction));
    const unsigned last = instruction.opcode == Opcode::kSetp ? 4 : 3;
    insn.op[last] = kAlways;
    place_operands(instruction, insn);
    insn.aux = uint16_t(instruction.bool_op);
    if (instruction.opcode == Opcode::kSet) {
        switch (instruction.type()) {
            case Type::kF32:
                insn.imm = 0x3f800000;
                break;
            case Type::kF16:
            case Type::kF16x2:
                insn.imm = 0x3c00;
                break;
            case Type::kBf16:
            case Type::kBf16x2:
                insn.imm = 0x3f80;
                break;
            default:
                insn.imm = 0xffffffff;
                break;
        }
    }
    emit_guarded(insn);
}

void Decoder::decode_lop3(const Instruction& instruction) {
    if (instruction.bool_op == ptx::BoolOp::kNone) return decode_plain(instruction);
    const std::vector<Operand>& operands = instruction.operands;  // d|p, a, b, c, table, q
    const bool wanted = operands[0].kind != ptx::OperandKind::kSink;
    Key key;
    key.opcode = Opcode::kLop3;
    key.type[0] = Type::kB32;
    key.operands = 5;
    Insn insn;
    insn.handler = require(key);
    insn.op[0] = wanted ? slot(operands[0]) : file_.add_temporary(32);
    for (size_t index = 1; index < 5; ++index) insn.op[index] = slot(operands[index + 1]);
    Insn compare;
    key = {};
    key.opcode = Opcode::kSetp;
    key.type[0] = Type::kB32;
    key.compare = ptx::Compare::kNe;
    key.bool_op = instruction.bool_op;
    compare.handler = require(key);
    compare.op[0] = slot(operands[1]);
    compare.op[1] = file_.dump();
    compare.op[2] = insn.op[0];
    compare.op[3] = pool_.add(0, 32);
    compare.op[4] = slot(operands[6]);
    compare.aux = uint16_t(instruction.bool_op);
    emit_guarded(insn);
    emit_guarded(compare);
}

void Decoder::decode_testp(const Instruction& instruction) {
    Insn insn;
    insn.handler = require(key_of(instruction));
    place_operands(instruction, insn);
    insn.aux = uint16_t(instruction.modifiers[0]);
    emit_guarded(insn);
}

void Decoder::add_stack_handler(Opcode opcode, Slot slot, bool guarded) {
    Insn insn;
    insn.handler = find_stack(opcode, 64);
    insn.op[0] = slot;
    guarded ? emit_guarded(insn) : emit(insn);
}

void Decoder::decode_stack(const Instruction& instruction) {
    Insn insn;
    insn.handler = find_stack(instruction.opcode, ptx::bits_of(instruction.type()));
    insn.op[0] = slot(instruction.operands[0]);
    if (instruction.opcode == Opcode::kAlloca) {
        constexpr uint64_t kDefaultAlign = 8;
        code_.allocates = true;
        insn.op[1] = slot(instruction.operands[1]);
        insn.imm = instruction.operands.size() > 2 ? instruction.operands[2].value : kDefaultAlign;
        if (insn.imm == 0 || (insn.imm & (insn.imm - 1)) != 0) throw Refusal{"such an alignment"};
    }
    emit_guarded(insn);
}

void Decoder::decode_createpolicy(const Instruction& instruction) {
    const Operand& policy = instruction.operands.at(0);
    if (policy.kind != ptx::OperandKind::kRegister || container(policy) != 64) throw Refusal{};
    Insn insn;
    insn.handler = move_handler(MoveForm::kCopy, 64);
    insn.op[0] = slot(policy);
    insn.op[1] = pool_.add(0, 64);
    emit_guarded(insn);
}

bool decode_function(Image& image, KernelCode& kernel, uint32_t index, std::string& log) {
    std::vector<uint32_t> pending{index};
    bool good = true;
    while (!pending.empty()) {
        const uint32_t next = pending.back();
        pending.pop_back();
        if (kernel.functions.count(next) != 0) continue;
        const ptx::Function& function = image.module->functions[next];
        if (!function.is_defined) continue;
        ptx::Log parse_log;
        const ptx::Body* body = ptx::parse_body(*image.module, next, parse_log);
        if (body == nullptr) {
            log += parse_log.text;
            good = false;
            continue;
        }
        auto code = std::make_unique<FunctionCode>();
        code->name = function.name;
        code->index = next;
        code->is_entry = function.kind == ptx::FunctionKind::kEntry;
        good = Decoder(image, kernel, *code, function, *body).run(log) && good;
        for (const uint32_t used : body->functions_used) pending.push_back(used);
        kernel.functions[next] = std::move(code);
    }
    if (!good) return false;
    for (const auto& [own_index, code] : kernel.functions) {
        for (CallSite& site : code->call_sites) {
            if (site.code != nullptr || site.builtin != Builtin::kNone) continue;
            const auto callee = kernel.functions.find(site.callee);
            if (callee != kernel.functions.end()) site.code = callee->second.get();
        }
    }
    return true;
}

}  // namespace cubar::softgpu::exec
