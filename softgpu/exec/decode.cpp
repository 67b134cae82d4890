// SPDX-License-Identifier: Apache-2.0
// From the syntax tree of a function to instructions with handlers.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "softgpu/exec/block.h"
#include "softgpu/exec/convert.h"
#include "softgpu/exec/flow.h"
#include "softgpu/exec/image.h"
#include "softgpu/exec/key.h"
#include "softgpu/exec/registers.h"
#include "softgpu/exec/video.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::AddressBase;
using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Space;
using ptx::Type;
using ptx::VariableScope;

constexpr uint64_t kParameterAlign = 16;

uint64_t align_up(uint64_t value, uint64_t align) {
    return (value + align - 1) / align * align;
}

/// An instruction that this interpreter lacks, or lacks in this form.
struct Refusal {
    std::string reason;
};

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

/// Constants, each spread over 32 lanes.
class Pool {
public:
    Pool() : bytes_(64, char(0xff)) {}

    Slot add(uint64_t value, unsigned bits) {
        if (bits == 1) return add_bytes(value != 0 ? ~uint64_t{0} : 0, 1, 4, 1);
        if (bits == 128) return add_bytes(value, bits, 16, kLanes);
        return add_bytes(value, bits, bits / 8, kLanes);
    }

    [[nodiscard]] const std::vector<char>& bytes() const { return bytes_; }

private:
    Slot add_bytes(uint64_t value, unsigned bits, unsigned bytes, unsigned copies) {
        const auto known = slots_.find({value, bits});
        if (known != slots_.end()) return known->second;
        const size_t at = (bytes_.size() + 63) / 64 * 64;
        bytes_.resize(at + size_t{bytes} * copies, 0);
        for (unsigned copy = 0; copy < copies; ++copy) {
            std::memcpy(&bytes_[at + size_t{copy} * bytes], &value, std::min(bytes, 8u));
        }
        return slots_[{value, bits}] = Slot(at) | 1;
    }

    std::vector<char> bytes_;
    std::map<std::pair<uint64_t, unsigned>, Slot> slots_;
};

class Decoder {
public:
    Decoder(Image& image, KernelCode& kernel, FunctionCode& code, const ptx::Function& function,
            const ptx::Body& body)
        : image_(image), kernel_(kernel), code_(code), function_(function), body_(body),
          file_(body) {
        lay_out_frame();
    }

    bool run(std::string& log) {
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
        std::vector<size_t> starts(blocks.size(), 0);
        for (size_t position = 0; position < order.size(); ++position) {
            const FlowBlock& block = blocks[order[position]];
            starts[order[position]] = code_.code.size();
            if (block.is_target) emit({}).handler = join_handler();
            for (uint32_t at = block.begin; at < block.end; ++at) decode(body_.code[at], log);
            if (block.begin == body_.code.size()) {
                emit({}).handler = control(Opcode::kRet);
            } else if (block.next != FlowBlock::kNone &&
                       (position + 1 == order.size() || order[position + 1] != block.next)) {
                emit({}).handler = control(Opcode::kBra);
                jumps_.push_back({code_.code.size() - 1, block.next});
            }
        }
        if (failed_) return false;
        finish(blocks, starts);
        return true;
    }

private:
    struct Jump {
        size_t from;
        uint32_t block;
    };
    struct Table {
        std::vector<uint32_t> labels;
    };

    // --- emitting ---

    Insn& emit(const Insn& insn) {
        code_.code.push_back(insn);
        code_.code.back().line = line_;
        return code_.code.back();
    }

    /// With the guard of the instruction that is being decoded.
    Insn& emit_guarded(const Insn& insn) {
        Insn& added = emit(insn);
        added.guard = guard_;
        added.guard_invert = guard_invert_;
        return added;
    }

    static Handler control(Opcode opcode) {
        Key key;
        key.opcode = opcode;
        return find_control(key);
    }

    static Handler move_handler(MoveForm form, unsigned bits,
                                ptx::Special special = ptx::Special::kNone) {
        Key key;
        key.opcode = Opcode::kMov;
        key.form = form;
        key.bits[0] = uint8_t(bits);
        key.special = special;
        const Handler handler = handlers()(key);
        if (handler == nullptr) throw Refusal{std::string(ptx::to_string(special))};
        return handler;
    }

    // --- places ---

    void lay_out_frame() {
        locals_at_ = 0;
        parameters_at_ = align_up(body_.local_size, kParameterAlign);
        uint64_t end = parameters_at_;
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

    /// A formal parameter in `to`: its own slot if it is a register, else memory from `end` on.
    Transfer formal(const ptx::Variable& variable, uint64_t& end) {
        Transfer place;
        if (variable.register_index != ptx::kNoIndex) {
            place.to_slot = true;
            place.to = variable.register_index;  // a slot once registers are assigned
            place.bytes = std::max(container(variable.type) / 8, 4u);
            return place;
        }
        end = align_up(end, std::max<uint64_t>(variable.align, 1));
        place.to = end;
        place.bytes = uint32_t(variable.size);
        end += variable.size;
        return place;
    }

    /// The offset in the frame of a variable that lies in local memory.
    uint64_t frame_offset(VariableScope scope, uint32_t index) const {
        switch (scope) {
            case VariableScope::kParameter: return code_.parameters[index].to;
            case VariableScope::kReturn: return code_.results[index].from;
            default: {
                const ptx::Variable& variable = body_.variables[index];
                const bool is_parameter = variable.space == Space::kParam;
                return (is_parameter ? call_area_at_ : locals_at_) + variable.offset;
            }
        }
    }

    const ptx::Variable& variable(VariableScope scope, uint32_t index) const {
        switch (scope) {
            case VariableScope::kModule: return image_.module->variables[index];
            case VariableScope::kParameter: return function_.parameters[index];
            case VariableScope::kReturn: return function_.returns[index];
            default: return body_.variables[index];
        }
    }

    enum class Place { kAddress, kFrame, kKernelParameter };
    struct Location {
        Place place = Place::kAddress;
        uint64_t address = 0;  // in the variable's own space
        Space space = Space::kGlobal;
    };

    Location locate(VariableScope scope, uint32_t index) const {
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

    // --- operands ---

    static unsigned container(Type type) { return container_bits(type); }

    unsigned container(const Operand& operand) const {
        if (operand.kind == OperandKind::kRegister) {
            return container_bits(body_.registers[operand.index].type);
        }
        return container_bits(operand.type);
    }

    Slot temporary(unsigned bits) { return file_.add_temporary(bits); }

    Slot slot(const Operand& operand) {
        switch (operand.kind) {
            case OperandKind::kRegister: {
                const Slot at = file_.slot(operand.index);
                if (!operand.negated) return at;
                const Slot inverted = temporary(1);
                Key key;
                key.opcode = Opcode::kNot;
                key.type[0] = Type::kPred;
                Insn& insn = emit({});
                insn.handler = handlers()(key);
                insn.op[0] = inverted;
                insn.op[1] = at;
                return inverted;
            }
            case OperandKind::kImmediate: return pool_.add(operand.value, container(operand.type));
            case OperandKind::kSink: return file_.dump();
            case OperandKind::kSpecial: {
                const unsigned bits = std::max(container(operand.type), 32u);
                const Slot to = temporary(bits);
                Insn& insn = emit({});
                insn.handler = move_handler(MoveForm::kSpecial, bits, operand.special);
                insn.op[0] = to;
                insn.aux = uint16_t(operand.special);
                insn.count = operand.component;
                return to;
            }
            case OperandKind::kVariable: {
                const unsigned bits = container(operand.type);
                const Location at = locate(operand.scope, operand.index);
                if (at.place == Place::kAddress) return pool_.add(at.address + operand.value, bits);
                const Slot to = temporary(bits);
                const MoveForm form = at.place == Place::kFrame ? MoveForm::kFrameAddress
                                                                : MoveForm::kParameterAddress;
                Insn& insn = emit({});
                insn.handler = move_handler(form, bits);
                insn.op[0] = to;
                insn.imm = at.address + operand.value;
                return to;
            }
            case OperandKind::kFunction: return pool_.add(function_address(operand.index), 64);
            default: throw Refusal{"this operand"};
        }
    }

    /// Fills in how the address is reached and returns the space to access.
    Space address(const Operand& operand, Space space, Insn& insn) {
        insn.imm = operand.value;
        insn.aux = uint16_t(next_cache_++);
        switch (operand.base) {
            case AddressBase::kRegister:
                insn.op[4] = file_.slot(operand.index);
                if (container(body_.registers[operand.index].type) == 32) insn.flags |= kAddress32;
                if (space != Space::kParam) return space;
                return code_.is_entry ? Space::kGeneric : Space::kLocal;
            case AddressBase::kAbsolute:
                insn.op[4] = pool_.add(0, 64);
                if (space != Space::kParam) return space;
                return code_.is_entry ? Space::kGeneric : Space::kLocal;
            default: break;
        }
        const Location at = locate(operand.scope, operand.index);
        insn.op[4] = pool_.add(0, 64);
        insn.imm += at.address;
        switch (at.place) {
            case Place::kKernelParameter: return Space::kParam;
            case Place::kFrame:
                insn.flags |= kFrameRelative;
                return Space::kLocal;
            default:
                return at.space == Space::kShared ? Space::kShared : Space::kGlobal;
        }
    }

    // --- instructions ---

    Key key_of(const Instruction& instruction) const {
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
            const auto bit = static_cast<unsigned>(modifier);
            key.modifiers[bit / 64] |= uint64_t{1} << (bit % 64);
        }
        for (size_t index = 0; index < std::min<size_t>(4, instruction.operands.size()); ++index) {
            key.bits[index] = uint8_t(container(instruction.operands[index]));
        }
        return key;
    }

    static Handler require(const Key& key) {
        Handler handler = find_control(key);
        if (handler == nullptr) handler = handlers()(key);
        if (handler == nullptr) throw Refusal{};
        return handler;
    }

    void decode(const Instruction& instruction, std::string& log) {
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

    void decode_one(const Instruction& instruction) {
        switch (instruction.opcode) {
            case Opcode::kLd:
            case Opcode::kLdu:
            case Opcode::kSt: return decode_memory(instruction);
            case Opcode::kAtom:
            case Opcode::kRed: return decode_atomic(instruction);
            case Opcode::kCvt: return decode_cvt(instruction);
            case Opcode::kMov: return decode_mov(instruction);
            case Opcode::kCvta: return decode_cvta(instruction);
            case Opcode::kIsspacep: return decode_isspacep(instruction);
            case Opcode::kSetp:
            case Opcode::kSet: return decode_compare(instruction);
            case Opcode::kTestp: return decode_testp(instruction);
            case Opcode::kBra: return decode_bra(instruction);
            case Opcode::kBrx: return decode_brx(instruction);
            case Opcode::kCall: return decode_call(instruction);
            case Opcode::kBar:
            case Opcode::kBarrier: return decode_barrier(instruction);
            case Opcode::kMembar:
            case Opcode::kFence:
            case Opcode::kPrefetch:
            case Opcode::kPrefetchu:
            case Opcode::kApplypriority:
            case Opcode::kDiscard:
            case Opcode::kGriddepcontrol:
            case Opcode::kPmevent: return decode_bare(instruction);
            case Opcode::kAdd:
            case Opcode::kSub:
            case Opcode::kAddc:
            case Opcode::kSubc:
            case Opcode::kMad:
            case Opcode::kMadc: return decode_carry(instruction);
            default: return decode_plain(instruction);
        }
    }

    void place_operands(const Instruction& instruction, Insn& insn, size_t first = 0) {
        if (instruction.operands.size() - first > 6) throw Refusal{"so many operands"};
        for (size_t index = first; index < instruction.operands.size(); ++index) {
            insn.op[index - first] = slot(instruction.operands[index]);
        }
    }

    /// False when it is none of the SIMD video instructions.
    bool decode_video(const Instruction& instruction) {
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

    void decode_plain(const Instruction& instruction) {
        if (decode_video(instruction)) return;
        Insn insn;
        insn.handler = require(key_of(instruction));
        place_operands(instruction, insn);
        emit_guarded(insn);
    }

    /// Without operands that anyone reads.
    void decode_bare(const Instruction& instruction) {
        Insn insn;
        insn.handler = require(key_of(instruction));
        emit_guarded(insn);
    }

    void decode_carry(const Instruction& instruction) {
        const bool writes = instruction.has(Modifier::kCc);
        const bool reads = instruction.opcode == Opcode::kAddc ||
                           instruction.opcode == Opcode::kSubc ||
                           instruction.opcode == Opcode::kMadc;
        if (!writes && !reads) return decode_plain(instruction);
        Insn insn;
        insn.handler = require(key_of(instruction));
        place_operands(instruction, insn);
        insn.op[5] = file_.carry();
        insn.aux = writes ? 1 : 0;
        emit_guarded(insn);
    }

    void decode_memory(const Instruction& instruction) {
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
        key.bits[0] = uint8_t(bits != 0 ? bits : container(instruction.type()));
        insn.count = uint8_t(count);
        key.space = address(where, instruction.space, insn);
        insn.handler = require(key);
        emit_guarded(insn);
    }

    /// Eight elements are two accesses of four; alignment is still checked for the halves only.
    void decode_wide_memory(const Instruction& instruction) {
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

    /// op[0] result, op[1], op[2] operands (vectors spread over them), op[4] address.
    void decode_atomic(const Instruction& instruction) {
        const bool has_result = instruction.opcode == Opcode::kAtom;
        Insn insn;
        Key key = key_of(instruction);
        const size_t at = has_result ? 1 : 0;
        const Operand& value = instruction.operands[at + 1];
        if (value.kind == OperandKind::kVector) throw Refusal{"vectors"};
        insn.op[0] = has_result ? slot(instruction.operands[0]) : file_.dump();
        insn.op[1] = slot(value);
        if (instruction.operands.size() > at + 2 &&
            instruction.operation == ptx::Operation::kCas) {
            insn.op[2] = slot(instruction.operands[at + 2]);
        }
        key.space = address(instruction.operands[at], instruction.space, insn);
        insn.handler = require(key);
        emit_guarded(insn);
    }

    void decode_mov(const Instruction& instruction) {
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
            insn.handler = move_handler(at.place == Place::kFrame ? MoveForm::kFrameAddress
                                                                  : MoveForm::kParameterAddress,
                                        key.bits[0]);
            insn.imm = at.address + from.value;
        } else {
            insn.handler = require(key);
            insn.op[1] = slot(from);
        }
        emit_guarded(insn);
    }

    void decode_vector_mov(const Instruction& instruction) {
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

    void decode_cvt(const Instruction& instruction) {
        const Key key = key_of(instruction);
        const Conversion how = conversion_of(key);
        Insn insn;
        insn.handler = require(key);
        place_operands(instruction, insn);
        insn.imm = std::bit_cast<uint64_t>(how);
        emit_guarded(insn);
    }

    void decode_cvta(const Instruction& instruction) {
        const bool to_space = instruction.has(Modifier::kTo);
        uint64_t window = 0;
        switch (instruction.space) {
            case Space::kShared:
            case Space::kSharedCluster: window = kSharedWindow; break;
            case Space::kLocal: window = kLocalWindow; break;
            case Space::kParam: window = code_.is_entry ? 0 : kLocalWindow; break;
            default: break;
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

    void decode_isspacep(const Instruction& instruction) {
        Insn insn;
        insn.handler = require(key_of(instruction));
        insn.op[0] = slot(instruction.operands[0]);
        insn.op[1] = slot(instruction.operands[1]);
        insn.op[2] = pool_.add(reinterpret_cast<uint64_t>(image_.constant_block), 64);
        insn.op[3] = pool_.add(image_.constant_bytes, 64);
        insn.aux = uint16_t(instruction.space);
        emit_guarded(insn);
    }

    void decode_compare(const Instruction& instruction) {
        Insn insn;
        insn.handler = require(key_of(instruction));
        const unsigned last = instruction.opcode == Opcode::kSetp ? 4 : 3;
        insn.op[last] = kAlways;
        place_operands(instruction, insn);
        insn.aux = uint16_t(instruction.bool_op);
        if (instruction.opcode == Opcode::kSet) {
            switch (instruction.type()) {
                case Type::kF32: insn.imm = 0x3f800000; break;
                case Type::kF16:
                case Type::kF16x2: insn.imm = 0x3c00; break;
                case Type::kBf16:
                case Type::kBf16x2: insn.imm = 0x3f80; break;
                default: insn.imm = 0xffffffff; break;
            }
        }
        emit_guarded(insn);
    }

    void decode_testp(const Instruction& instruction) {
        Insn insn;
        insn.handler = require(key_of(instruction));
        place_operands(instruction, insn);
        insn.aux = uint16_t(instruction.modifiers[0]);
        emit_guarded(insn);
    }

    void decode_bra(const Instruction& instruction) {
        Insn insn;
        insn.handler = control(Opcode::kBra);
        emit_guarded(insn);
        label_jumps_.push_back({code_.code.size() - 1, instruction.operands[0].index});
    }

    void decode_brx(const Instruction& instruction) {
        Insn insn;
        insn.handler = control(Opcode::kBrx);
        insn.op[0] = slot(instruction.operands[0]);
        insn.aux = uint16_t(tables_.size());
        tables_.push_back({body_.targets[instruction.operands[1].index]});
        emit_guarded(insn);
    }

    Transfer actual(const Operand& operand, bool is_result) {
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

    static Builtin builtin_named(const ptx::Function& callee) {
        if (callee.is_defined) return Builtin::kNone;
        if (callee.name == "vprintf") return Builtin::kPrintf;
        if (callee.name == "__assertfail") return Builtin::kAssertFail;
        if (callee.name == "malloc") return Builtin::kMalloc;
        if (callee.name == "free") return Builtin::kFree;
        throw Refusal{"the undefined function " + callee.name};
    }

    void decode_call(const Instruction& instruction) {
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

    /// op[0] barrier, op[1] threads (0: all), op[2] result, op[3] predicate.
    void decode_barrier(const Instruction& instruction) {
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

    // --- the end ---

    void finish(const std::vector<FlowBlock>& blocks, const std::vector<size_t>& starts) {
        const auto label_target = [&](uint32_t label) {
            const uint32_t at = body_.labels[label].target;
            const auto block = std::lower_bound(
                blocks.begin(), blocks.end(), at,
                [](const FlowBlock& b, uint32_t begin) { return b.begin < begin; });
            return &code_.code[starts[size_t(block - blocks.begin())]];
        };
        for (const Jump& jump : jumps_) {
            code_.code[jump.from].imm = reinterpret_cast<uint64_t>(&code_.code[starts[jump.block]]);
        }
        for (const Jump& jump : label_jumps_) {
            code_.code[jump.from].imm = reinterpret_cast<uint64_t>(label_target(jump.block));
        }
        for (const Table& table : tables_) {
            std::vector<const Insn*> targets;
            for (const uint32_t label : table.labels) targets.push_back(label_target(label));
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

    Image& image_;
    KernelCode& kernel_;
    FunctionCode& code_;
    const ptx::Function& function_;
    const ptx::Body& body_;
    RegisterFile file_;
    Pool pool_;
    uint64_t locals_at_ = 0;
    uint64_t parameters_at_ = 0;
    uint64_t call_area_at_ = 0;
    unsigned next_cache_ = 0;
    uint32_t line_ = 0;
    Slot guard_ = kAlways;
    uint32_t guard_invert_ = 0;
    bool failed_ = false;
    std::vector<Jump> jumps_;        // to blocks
    std::vector<Jump> label_jumps_;  // to labels
    std::vector<Table> tables_;
};

}  // namespace

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
