// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/registers.h"

#include <algorithm>
#include <map>
#include <queue>

namespace cubar::softgpu::exec {
namespace {

using ptx::Instruction;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;

constexpr uint32_t kSlotAlign = 64;

uint32_t bytes_of_slot(unsigned bits) {
    return bits == 1 ? kSlotAlign : bits / 8 * kLanes;
}

/// A set of registers.
class Set {
public:
    explicit Set(size_t size) : words_((size + 63) / 64, 0) {}

    [[nodiscard]] bool has(uint32_t index) const {
        return (words_[index / 64] >> index % 64 & 1) != 0;
    }
    void add(uint32_t index) { words_[index / 64] |= uint64_t{1} << index % 64; }

    /// this |= other & ~without; true if that added any.
    bool add_all(const Set& other, const Set& without) {
        uint64_t added = 0;
        for (size_t word = 0; word < words_.size(); ++word) {
            const uint64_t more = other.words_[word] & ~without.words_[word] & ~words_[word];
            words_[word] |= more;
            added |= more;
        }
        return added != 0;
    }

    template <class Visit>
    void for_each(Visit visit) const {
        for (size_t word = 0; word < words_.size(); ++word) {
            for (uint64_t rest = words_[word]; rest != 0; rest &= rest - 1) {
                visit(uint32_t(word * 64) + uint32_t(__builtin_ctzll(rest)));
            }
        }
    }

private:
    std::vector<uint64_t> words_;
};

template <class Visit>
void visit_registers(const Operand& operand, Visit visit) {
    const bool addressed =
        operand.kind == OperandKind::kAddress && operand.base == ptx::AddressBase::kRegister;
    if (operand.kind == OperandKind::kRegister || addressed) visit(operand.index);
    for (const Operand& element : operand.elements) visit_registers(element, visit);
}

/// Calls visit with each register that the instruction overwrites in every lane that gets there:
/// only that ends the life of its earlier value. A guarded instruction overwrites nothing, and one
/// that reads its destination needs the earlier value.
template <class Visit>
void visit_overwritten(const Instruction& instruction, Visit visit) {
    if (instruction.predicate != ptx::kNoIndex || instruction.operands.empty()) return;
    size_t destinations = 1;
    switch (instruction.opcode) {
        case Opcode::kSt:
        case Opcode::kRed:
        case Opcode::kStmatrix:
        case Opcode::kBra:
        case Opcode::kBrx:
        case Opcode::kCall:
        case Opcode::kBar:
        case Opcode::kBarrier:
            return;
        case Opcode::kSetp:
        case Opcode::kShfl:
        case Opcode::kMatch:
        case Opcode::kElect:
            destinations = 2;
            break;
        default:
            break;
    }
    std::vector<uint32_t> sources;
    for (size_t at = destinations; at < instruction.operands.size(); ++at) {
        visit_registers(instruction.operands[at],
                        [&](uint32_t index) { sources.push_back(index); });
    }
    for (size_t at = 0; at < std::min(destinations, instruction.operands.size()); ++at) {
        const OperandKind kind = instruction.operands[at].kind;
        // What sust stores to has coordinates, and they are read.
        if (kind == OperandKind::kAddress || kind == OperandKind::kTuple) continue;
        visit_registers(instruction.operands[at], [&](uint32_t index) {
            if (std::find(sources.begin(), sources.end(), index) == sources.end()) visit(index);
        });
    }
}

struct Life {
    uint32_t begin = 0xffffffff;
    uint32_t end = 0;

    void extend(uint32_t at) {
        begin = std::min(begin, at);
        end = std::max(end, at);
    }
};

/// From when to when, in the layout's order of instructions, each register holds a value that some
/// lane may still read.
class Liveness {
public:
    Liveness(const ptx::Body& body, const std::vector<FlowBlock>& blocks,
             const std::vector<uint32_t>& order)
        : body_(body), blocks_(blocks), order_(order), lives_(body.registers.size()) {}

    std::vector<Life> run() {
        const size_t size = body_.registers.size();
        needed_.assign(blocks_.size(), Set(size));
        killed_.assign(blocks_.size(), Set(size));
        for (const uint32_t block : order_) scan(block);
        bool changed = true;
        while (changed) {
            changed = false;
            for (auto block = order_.rbegin(); block != order_.rend(); ++block) {
                for (const uint32_t next : blocks_[*block].successors) {
                    changed = needed_[*block].add_all(needed_[next], killed_[*block]) || changed;
                }
            }
        }
        place();
        return std::move(lives_);
    }

private:
    template <class Visit>
    static void visit_all(const Instruction& instruction, Visit visit) {
        for (const Operand& operand : instruction.operands) visit_registers(operand, visit);
        if (instruction.predicate != ptx::kNoIndex) visit(instruction.predicate);
    }

    void scan(uint32_t block) {
        for (uint32_t at = blocks_[block].begin; at < blocks_[block].end; ++at) {
            const Instruction& instruction = body_.code[at];
            std::vector<uint32_t> kills;
            visit_overwritten(instruction, [&](uint32_t index) { kills.push_back(index); });
            // Every other register counts as read: a guarded destination keeps its value.
            visit_all(instruction, [&](uint32_t index) {
                const bool kill = std::find(kills.begin(), kills.end(), index) != kills.end();
                if (!kill && !killed_[block].has(index)) needed_[block].add(index);
            });
            for (const uint32_t kill : kills) {
                if (!needed_[block].has(kill)) killed_[block].add(kill);
            }
        }
    }

    void place() {
        uint32_t now = 0;
        for (const uint32_t block : order_) {
            const uint32_t first = now;
            for (uint32_t at = blocks_[block].begin; at < blocks_[block].end; ++at, ++now) {
                visit_all(body_.code[at], [&](uint32_t index) { lives_[index].extend(now); });
            }
            const uint32_t last = now++;
            needed_[block].for_each([&](uint32_t index) { lives_[index].extend(first); });
            for (const uint32_t next : blocks_[block].successors) {
                needed_[next].for_each([&](uint32_t index) { lives_[index].extend(last); });
            }
        }
    }

    const ptx::Body& body_;
    const std::vector<FlowBlock>& blocks_;
    const std::vector<uint32_t>& order_;
    std::vector<Life> lives_;
    std::vector<Set> needed_;  // at the beginning of a block
    std::vector<Set> killed_;  // overwritten in it before any use
};

}  // namespace

unsigned container_bits(ptx::Type type) {
    if (type == ptx::Type::kPred) return 1;
    const unsigned bits = ptx::bits_of(type);
    return bits <= 16 ? 16 : bits <= 32 ? 32 : bits <= 64 ? 64 : 128;
}

RegisterFile::RegisterFile(const ptx::Body& body) : body_(body), slots_(body.registers.size(), 0) {}

void RegisterFile::assign(const std::vector<FlowBlock>& blocks, const std::vector<uint32_t>& order,
                          const std::vector<uint32_t>& parameters) {
    std::vector<Life> lives = Liveness(body_, blocks, order).run();
    // What a call hands over lives from the first instruction to the last.
    for (const uint32_t index : parameters) lives[index] = {0, 0xfffffffe};

    std::vector<uint32_t> by_begin;
    for (uint32_t index = 0; index < lives.size(); ++index) {
        if (lives[index].begin <= lives[index].end) by_begin.push_back(index);
    }
    std::sort(by_begin.begin(), by_begin.end(),
              [&](uint32_t a, uint32_t b) { return lives[a].begin < lives[b].begin; });
    const auto ends_later = [&](uint32_t a, uint32_t b) { return lives[a].end > lives[b].end; };
    std::priority_queue<uint32_t, std::vector<uint32_t>, decltype(ends_later)> living(ends_later);
    std::map<uint32_t, std::vector<Slot>> free;  // by size
    uint32_t live = 0;
    const auto weight = [&](uint32_t index) {
        const unsigned bits = container_bits(body_.registers[index].type);
        return bits == 1 ? 0 : std::max(bits / 32, 1u);
    };
    for (const uint32_t index : by_begin) {
        // A result never shares a place with an operand of the same instruction.
        while (!living.empty() && lives[living.top()].end < lives[index].begin) {
            const uint32_t dead = living.top();
            living.pop();
            live -= weight(dead);
            const unsigned bits = container_bits(body_.registers[dead].type);
            free[bytes_of_slot(bits)].push_back(slots_[dead]);
        }
        const uint32_t bytes = bytes_of_slot(container_bits(body_.registers[index].type));
        std::vector<Slot>& places = free[bytes];
        if (places.empty()) {
            slots_[index] = bytes_;
            bytes_ += bytes;
        } else {
            slots_[index] = places.back();
            places.pop_back();
        }
        living.push(index);
        live += weight(index);
        live_registers_ = std::max(live_registers_, live);
    }
}

Slot RegisterFile::add_temporary(unsigned bits) {
    const Slot slot = bytes_;
    bytes_ += bytes_of_slot(bits);
    return slot;
}

}  // namespace cubar::softgpu::exec
