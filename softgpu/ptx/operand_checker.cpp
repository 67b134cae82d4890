// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/operand_checker.h"

#include <algorithm>
#include <utility>

#include "softgpu/ptx/constant.h"
#include "softgpu/ptx/lexer.h"
#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

Type bits_type(unsigned bits) {
    switch (bits) {
        case 8:
            return Type::kB8;
        case 16:
            return Type::kB16;
        case 32:
            return Type::kB32;
        case 64:
            return Type::kB64;
        case 128:
            return Type::kB128;
        default:
            return Type::kNone;
    }
}

// The number of 32-bit (for f64: 64-bit) registers that one lane holds of an operand of mma, 0 when
// the shape does not spread evenly over 32 lanes (mma.m8n8k4 has a layout of its own).
unsigned fragment_registers(const Instruction& instruction, char matrix) {
    const Shape& shape = instruction.shape;
    const unsigned position = matrix == 'D' ? 0 : matrix == 'A' ? 1 : matrix == 'B' ? 2 : 3;
    const unsigned bits = bits_of(instruction.type(position));
    const unsigned rows = matrix == 'B' ? shape.k : shape.m;
    const unsigned columns = matrix == 'A' ? shape.k : shape.n;
    const unsigned total = rows * columns * bits;
    const unsigned unit = 32 * std::max(bits, 32u);
    return total % unit == 0 ? total / unit : 0;
}

// ldmatrix and stmatrix: an m8n8 matrix of b16 fills a register per lane, m16n16 of b8 two.
unsigned matrix_registers(const Instruction& instruction) {
    const unsigned count = instruction.has(Modifier::kX4)   ? 4
                           : instruction.has(Modifier::kX2) ? 2
                                                            : 1;
    return instruction.shape.m == 16 && instruction.shape.n == 16 ? 2 * count : count;
}

}  // namespace

std::string dotted(std::string_view word) {
    std::string text(1, '.');
    text += word;
    return text;
}

std::string dotted(Type type) {
    return dotted(to_string(type));
}

Reason OperandChecker::check(const OperandRule& rule, Operand& operand) {
    Type type = rule.type_position >= 0
                    ? instruction_.type(static_cast<unsigned>(rule.type_position))
                    : rule.type;
    if (rule.doubled) type = doubled(type);
    switch (rule.role) {
        case OperandRole::kDestination:
            return destination(operand, type, false);
        case OperandRole::kWideDestination:
            return destination(operand, type, true);
        case OperandRole::kOptionalResult:
            if (operand.kind == OperandKind::kSink) return sink(operand, type);
            return destination(operand, type, false);
        case OperandRole::kSource:
            return source(operand, type, false);
        case OperandRole::kWideSource:
            return source(operand, type, true);
        case OperandRole::kAnySource:
            return any_source(operand, type, true);
        case OperandRole::kPacked:
            return operand.kind == OperandKind::kVector ? packed(operand, type)
                                                        : destination(operand, type, false);
        case OperandRole::kPackedSource:
            return operand.kind == OperandKind::kVector ? packed(operand, type)
                                                        : any_source(operand, type, false);
        case OperandRole::kVectorTo:
        case OperandRole::kVectorFrom:
            return memory_value(operand, type, rule.role == OperandRole::kVectorTo);
        case OperandRole::kImmediate:
            if (operand.kind != OperandKind::kImmediate) return "must be a constant";
            return immediate(operand, type);
        case OperandRole::kPredicateOut:
            if (operand.kind == OperandKind::kSink) return sink(operand, type);
            return predicate(operand, false);
        case OperandRole::kPredicateIn:
            if (operand.kind == OperandKind::kImmediate) return immediate(operand, type);
            return predicate(operand, true);
        case OperandRole::kAddress:
            return address(operand);
        case OperandRole::kLabel:
        case OperandRole::kTargets:
            return operand.kind == OperandKind::kLabel ? Reason() : "must be a label";
        case OperandRole::kFragment:
            return fragment(operand, rule.fragment);
        case OperandRole::kRegisterOrPredicate:
            if (operand.kind == OperandKind::kRegister && is_predicate(operand)) {
                return predicate(operand, true);
            }
            return source(operand, Type::kU32, false);
        case OperandRole::kSymbol:
            return symbol(operand, type);
        case OperandRole::kAnything:
            return Reason();
    }
    return Reason();
}

Type OperandChecker::doubled(Type type) {
    switch (type) {
        case Type::kU16:
            return Type::kU32;
        case Type::kS16:
            return Type::kS32;
        case Type::kU32:
            return Type::kU64;
        default:
            return Type::kS64;
    }
}

Type OperandChecker::register_type(const Operand& operand) const {
    return context_.body.registers[operand.index].type;
}

bool OperandChecker::is_predicate(const Operand& operand) const {
    return register_type(operand) == Type::kPred;
}

Reason OperandChecker::sink(Operand& operand, Type type) {
    operand.type = type;
    return Reason();
}

Reason OperandChecker::fits_register(Operand& operand, Type type, bool wider) const {
    if (operand.negated) return "`!` applies to predicates only";
    if (is_predicate(operand) != (type == Type::kPred)) {
        return "is " + std::string(is_predicate(operand) ? "a predicate" : "no predicate") +
               ", the instruction wants " + dotted(type);
    }
    const unsigned have = bits_of(register_type(operand));
    const unsigned want = bits_of(type);
    if (have < want || (have > want && !wider)) {
        return "is a " + dotted(register_type(operand)) + " register, the instruction wants " +
               dotted(type);
    }
    operand.type = type;
    return Reason();
}

Reason OperandChecker::destination(Operand& operand, Type type, bool wider) const {
    if (operand.kind != OperandKind::kRegister) return "must be a register";
    return fits_register(operand, type, wider);
}

Reason OperandChecker::immediate(Operand& operand, Type type) {
    const Constant::Kind kind = operand.type == Type::kF32   ? Constant::Kind::kSingle
                                : operand.type == Type::kF64 ? Constant::Kind::kDouble
                                : operand.type == Type::kU64 ? Constant::Kind::kUnsigned
                                                             : Constant::Kind::kSigned;
    if (is_float(type) && type != Type::kF32 && type != Type::kF64) {
        return "cannot be a constant of type " + dotted(type);
    }
    std::uint64_t bits = 0;
    if (!convert(Constant{kind, operand.value}, type, bits)) {
        return "is a constant that does not fit " + dotted(type);
    }
    operand.value = bits;
    operand.type = type;
    return Reason();
}

Reason OperandChecker::source(Operand& operand, Type type, bool wider) const {
    if (operand.kind == OperandKind::kImmediate) return immediate(operand, type);
    if (operand.kind != OperandKind::kRegister) return "must be a register or a constant";
    return fits_register(operand, type, wider);
}

// What mov and cvt may read besides: special registers of any width, addresses.
Reason OperandChecker::any_source(Operand& operand, Type type, bool wider) const {
    switch (operand.kind) {
        case OperandKind::kSpecial:
            if (operand.special == Special::kIsExplicitCluster) {
                return "is a predicate, the instruction wants " + dotted(type);
            }
            operand.type = type;
            return Reason();
        case OperandKind::kVariable:
        case OperandKind::kFunction:
            if (is_float(type) || bits_of(type) < 32 || bits_of(type) > 64) {
                return "is an address, the instruction wants " + dotted(type);
            }
            operand.type = type;
            return Reason();
        default:
            return source(operand, type, wider);
    }
}

Reason OperandChecker::packed(Operand& operand, Type type) const {
    const auto count = static_cast<unsigned>(operand.elements.size());
    const Type element = bits_type(bits_of(type) / count);
    if ((count != 2 && count != 4) || !is_bits(type) || element == Type::kNone) {
        return "has " + std::to_string(count) + " elements, which do not make up " + dotted(type);
    }
    for (Operand& part : operand.elements) {
        if (part.kind == OperandKind::kSink) {
            part.type = element;
            continue;
        }
        if (Reason reason = source(part, element, false); !reason.empty()) return reason;
    }
    operand.type = type;
    return Reason();
}

Reason OperandChecker::memory_value(Operand& operand, Type type, bool is_destination) const {
    const auto scalar = [&](Operand& value) {
        if (is_destination) return destination(value, type, true);
        // mov.v4.u32 {…}, %tid
        return instruction_.opcode == Opcode::kMov ? any_source(value, type, true)
                                                   : source(value, type, true);
    };
    if (instruction_.vector_width == 1) {
        // A lone element in braces is as good as the element.
        if (operand.kind == OperandKind::kVector && operand.elements.size() == 1) {
            Operand element = std::move(operand.elements.front());
            operand = std::move(element);
        }
        return scalar(operand);
    }
    if (operand.kind != OperandKind::kVector ||
        operand.elements.size() != instruction_.vector_width) {
        return "must be a vector of " + std::to_string(instruction_.vector_width) + " elements";
    }
    for (Operand& element : operand.elements) {
        if (element.kind == OperandKind::kSink && is_destination) {
            element.type = type;
            continue;
        }
        if (Reason reason = scalar(element); !reason.empty()) return reason;
    }
    operand.type = type;
    return Reason();
}

Reason OperandChecker::predicate(Operand& operand, bool may_negate) const {
    if (operand.kind == OperandKind::kSpecial && operand.special == Special::kIsExplicitCluster &&
        may_negate) {
        operand.type = Type::kPred;
        return Reason();
    }
    if (operand.kind != OperandKind::kRegister || !is_predicate(operand)) {
        return "must be a predicate";
    }
    if (operand.negated && !may_negate) return "is written to and cannot be negated";
    operand.type = Type::kPred;
    return Reason();
}

// The space that this address is in: cp.async names that of its destination first.
Space OperandChecker::space_of_address(const Operand& operand) const {
    const bool second = instruction_.space2 != Space::kGeneric &&
                        instruction_.operands.size() > 1 && &operand == &instruction_.operands[1];
    return second ? instruction_.space2 : instruction_.space;
}

Reason OperandChecker::address(Operand& operand) const {
    if (operand.kind != OperandKind::kAddress) return "must be an address in brackets";
    const Space space = space_of_address(operand);
    operand.type = Type::kB64;
    if (operand.base == AddressBase::kRegister) {
        const unsigned bits = bits_of(register_type(operand));
        const bool wide_only = (space == Space::kGeneric || space == Space::kGlobal) &&
                               context_.module.address_size == 64;
        if (is_float(register_type(operand)) || (bits != 64 && (bits != 32 || wide_only))) {
            return "has the base register " + context_.body.register_name(operand.index) +
                   " of type " + dotted(register_type(operand));
        }
    } else if (operand.base == AddressBase::kVariable) {
        const Variable& variable = variable_of(context_, operand.scope, operand.index);
        if (!reaches(space, variable.space)) {
            return "names " + quoted(variable.name) + ", which is in " +
                   dotted(to_string(variable.space));
        }
        if (instruction_.opcode == Opcode::kSt && operand.scope == VariableScope::kParameter &&
            context_.function.kind == FunctionKind::kEntry) {
            return "names " + quoted(variable.name) + ", and a kernel's parameters are read only";
        }
    }
    return Reason();
}

bool OperandChecker::reaches(Space access, Space variable) {
    if (access == variable) return true;
    if (access == Space::kSharedCluster) return variable == Space::kShared;
    return access == Space::kGeneric && (variable == Space::kGlobal || variable == Space::kShared ||
                                         variable == Space::kConst || variable == Space::kLocal);
}

Reason OperandChecker::fragment(Operand& operand, char matrix) const {
    if (operand.kind == OperandKind::kRegister) {
        Operand vector;
        vector.kind = OperandKind::kVector;
        vector.elements.push_back(std::move(operand));
        operand = std::move(vector);
    }
    if (operand.kind != OperandKind::kVector) return "must be a vector of registers";
    const bool is_double = instruction_.opcode == Opcode::kMma && instruction_.type() == Type::kF64;
    if (matrix == 'V' && instruction_.shape != Shape{8, 8, 4}) return "does not fit the shape";
    if (matrix != 0 && matrix != 'V') {
        const unsigned count = matrix == 'N' ? matrix_registers(instruction_)
                                             : fragment_registers(instruction_, matrix);
        if (operand.elements.size() != count) {
            return "has " + std::to_string(operand.elements.size()) + " registers, not " +
                   std::to_string(count);
        }
    }
    for (Operand& element : operand.elements) {
        if (element.kind != OperandKind::kRegister) return "must be a vector of registers";
        const Type have = register_type(element);
        const unsigned bits = bits_of(have);
        if (matrix != 0 ? bits != (is_double ? 64u : 32u) : (bits < 16 || bits > 64)) {
            return "has a register of type " + dotted(have);
        }
        element.type = have;
    }
    return Reason();
}

Reason OperandChecker::symbol(Operand& operand, Type type) const {
    switch (operand.kind) {
        case OperandKind::kVariable:
            operand.type = type;
            return Reason();
        case OperandKind::kRegister:
            if (bits_of(register_type(operand)) == 32 && instruction_.type_count == 0) {
                return fits_register(operand, Type::kB32, false);
            }
            return fits_register(operand, type, false);
        default:
            return source(operand, type, false);
    }
}

}  // namespace cubar::softgpu::ptx
