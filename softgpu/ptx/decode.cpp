// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/decode.h"

#include <optional>

#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

using enum Modifier;

// "m16n8k16", "m8n8". Three digits bound the numbers.
std::optional<Shape> parse_shape(std::string_view word) {
    Shape shape;
    const auto number = [&](char letter, std::uint16_t& value) {
        if (word.empty() || word.front() != letter) return false;
        word.remove_prefix(1);
        std::size_t digits = 0;
        while (digits < word.size() && digits < 3 && word[digits] >= '0' && word[digits] <= '9') {
            value = static_cast<std::uint16_t>(value * 10 + (word[digits] - '0'));
            ++digits;
        }
        word.remove_prefix(digits);
        return value > 0;
    };
    if (!number('m', shape.m) || !number('n', shape.n)) return std::nullopt;
    if (!word.empty() && !number('k', shape.k)) return std::nullopt;
    if (!word.empty()) return std::nullopt;
    return shape;
}

bool is_collector_b(std::string_view word) {
    constexpr std::string_view kPrefix = "collector::b";
    if (!word.starts_with(kPrefix) || word.size() < kPrefix.size() + 3) return false;
    const char number = word[kPrefix.size()];
    const std::string_view rest = word.substr(kPrefix.size() + 1);
    return number >= '0' && number <= '3' &&
           (rest == "::fill" || rest == "::use" || rest == "::lastuse" || rest == "::discard");
}

Rounding rounding_of(Modifier word) {
    switch (word) {
        case kRn:
            return Rounding::kRn;
        case kRz:
            return Rounding::kRz;
        case kRm:
            return Rounding::kRm;
        case kRp:
            return Rounding::kRp;
        case kRna:
            return Rounding::kRna;
        case kRs:
            return Rounding::kRs;
        case kRni:
            return Rounding::kRni;
        case kRzi:
            return Rounding::kRzi;
        case kRmi:
            return Rounding::kRmi;
        case kRpi:
            return Rounding::kRpi;
        default:
            return Rounding::kNone;
    }
}

Compare compare_of(Modifier word) {
    switch (word) {
        case kEq:
            return Compare::kEq;
        case kNe:
            return Compare::kNe;
        case kLt:
            return Compare::kLt;
        case kLe:
            return Compare::kLe;
        case kGt:
            return Compare::kGt;
        case kGe:
            return Compare::kGe;
        case kLo:
            return Compare::kLo;
        case kLs:
            return Compare::kLs;
        case kHi:
            return Compare::kHi;
        case kHs:
            return Compare::kHs;
        case kEqu:
            return Compare::kEqu;
        case kNeu:
            return Compare::kNeu;
        case kLtu:
            return Compare::kLtu;
        case kLeu:
            return Compare::kLeu;
        case kGtu:
            return Compare::kGtu;
        case kGeu:
            return Compare::kGeu;
        case kNum:
            return Compare::kNum;
        case kNanCompare:
            return Compare::kNan;
        default:
            return Compare::kNone;
    }
}

BoolOp bool_op_of(Modifier word) {
    switch (word) {
        case kAnd:
            return BoolOp::kAnd;
        case kOr:
            return BoolOp::kOr;
        case kXor:
            return BoolOp::kXor;
        default:
            return BoolOp::kNone;
    }
}

Operation operation_of(Modifier word) {
    switch (word) {
        case kAnd:
            return Operation::kAnd;
        case kOr:
            return Operation::kOr;
        case kXor:
            return Operation::kXor;
        case kAdd:
            return Operation::kAdd;
        case kInc:
            return Operation::kInc;
        case kDec:
            return Operation::kDec;
        case kMin:
            return Operation::kMin;
        case kMax:
            return Operation::kMax;
        case kExch:
            return Operation::kExch;
        case kCas:
            return Operation::kCas;
        case kPopc:
            return Operation::kPopc;
        default:
            return Operation::kNone;
    }
}

Scope scope_of(Modifier word) {
    switch (word) {
        case kCta:
            return Scope::kCta;
        case kCluster:
            return Scope::kCluster;
        case kGpu:
        case kGl:
            return Scope::kGpu;
        case kSys:
            return Scope::kSys;
        default:
            return Scope::kNone;
    }
}

Semantics semantics_of(Modifier word) {
    switch (word) {
        case kWeak:
            return Semantics::kWeak;
        case kVolatile:
            return Semantics::kVolatile;
        case kRelaxed:
            return Semantics::kRelaxed;
        case kAcquire:
            return Semantics::kAcquire;
        case kRelease:
            return Semantics::kRelease;
        case kAcqRel:
            return Semantics::kAcqRel;
        case kSc:
            return Semantics::kSc;
        case kMmio:
            return Semantics::kMmio;
        default:
            return Semantics::kNone;
    }
}

Space space_of(Modifier word) {
    switch (word) {
        case kReg:
            return Space::kReg;
        case kSreg:
            return Space::kSreg;
        case kConst:
            return Space::kConst;
        case kGlobal:
            return Space::kGlobal;
        case kLocal:
            return Space::kLocal;
        case kParam:
        case kParamEntry:
        case kParamFunc:
            return Space::kParam;
        case kShared:
        case kSharedCta:
            return Space::kShared;
        case kSharedCluster:
            return Space::kSharedCluster;
        case kTex:
            return Space::kTex;
        default:
            return Space::kGeneric;
    }
}

bool compares(Opcode opcode) {
    switch (opcode) {
        case Opcode::kSetp:
        case Opcode::kSet:
        case Opcode::kVset:
        case Opcode::kVset2:
        case Opcode::kVset4:
            return true;
        default:
            return false;
    }
}

template <typename Value>
void fill(Value& field, Value value) {
    if (field == Value{}) field = value;
}

void fill_fields(Instruction& instruction, Modifier word) {
    fill(instruction.rounding, rounding_of(word));
    fill(instruction.scope, scope_of(word));
    // ld.mmio.relaxed, and st.async.weak: the first word is the one that matters.
    fill(instruction.semantics, semantics_of(word));
    if (compares(instruction.opcode)) fill(instruction.compare, compare_of(word));
    const bool combines = instruction.opcode == Opcode::kSetp ||
                          instruction.opcode == Opcode::kSet || instruction.opcode == Opcode::kLop3;
    if (combines) {
        fill(instruction.bool_op, bool_op_of(word));
    } else {
        fill(instruction.operation, operation_of(word));
    }
    if (const Space space = space_of(word); space != Space::kGeneric) {
        fill(instruction.space == Space::kGeneric ? instruction.space : instruction.space2, space);
    }
    switch (word) {
        case kFtz:
            instruction.ftz = true;
            break;
        case kSat:
        case kSatfinite:
            instruction.sat = true;
            break;
        case kV2:
            instruction.vector_width = 2;
            break;
        case kV4:
            instruction.vector_width = 4;
            break;
        case kV8:
            instruction.vector_width = 8;
            break;
        default:
            break;
    }
}

}  // namespace

bool add_word(Instruction& instruction, std::string_view word) {
    if (const auto type = find_type(word)) {
        if (instruction.type_count == instruction.types.size()) return false;
        instruction.types[instruction.type_count++] = *type;
        return true;
    }
    if (const auto modifier = find_modifier(word)) {
        instruction.modifiers.push_back(*modifier);
        fill_fields(instruction, *modifier);
        return true;
    }
    if (const auto shape = parse_shape(word)) {
        instruction.modifiers.push_back(kShape);
        instruction.shape = *shape;
        return true;
    }
    if (is_collector_b(word)) {
        instruction.modifiers.push_back(kCollectorB);
        return true;
    }
    return false;
}

}  // namespace cubar::softgpu::ptx
