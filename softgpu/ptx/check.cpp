// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/check.h"

#include <algorithm>

#include "softgpu/ptx/forms.h"
#include "softgpu/ptx/lexer.h"
#include "softgpu/ptx/names.h"
#include "softgpu/ptx/operand_checker.h"

namespace cubar::softgpu::ptx {
namespace {

bool fits_words(const Form& form, const std::vector<Modifier>& words) {
    std::uint64_t filled = 0;
    for (Modifier word : words) {
        bool placed = false;
        for (std::size_t i = 0; i < form.modifiers.size() && !placed; ++i) {
            const std::vector<Modifier>& group = form.modifiers[i].words;
            if ((filled >> i & 1) == 0 &&
                std::find(group.begin(), group.end(), word) != group.end()) {
                filled |= std::uint64_t{1} << i;
                placed = true;
            }
        }
        if (!placed && !form.any_modifiers) return false;
    }
    for (std::size_t i = 0; i < form.modifiers.size(); ++i) {
        if (form.modifiers[i].required && (filled >> i & 1) == 0) return false;
    }
    return true;
}

bool fits_types(const Form& form, const Instruction& instruction) {
    if (form.any_types) return true;
    if (form.types.size() != instruction.type_count) return false;
    for (std::size_t i = 0; i < form.types.size(); ++i) {
        const std::vector<Type>& allowed = form.types[i];
        if (std::find(allowed.begin(), allowed.end(), instruction.types[i]) == allowed.end()) {
            return false;
        }
    }
    return true;
}

bool is_video(Opcode opcode) {
    return opcode >= Opcode::kVabsdiff && opcode <= Opcode::kVsub4 && opcode != Opcode::kVote;
}

void refuse_selectors(const Instruction& instruction) {
    if (is_video(instruction.opcode)) return;
    for (const Operand& operand : instruction.operands) {
        if (operand.select_unit != 0) {
            throw SyntaxError(instruction.line,
                              "only video instructions select bytes of a register");
        }
    }
}

// vmad negates its product or what it adds.
void check_signs(const Instruction& instruction) {
    const std::vector<Operand>& operands = instruction.operands;
    const auto minus = [&](std::size_t i) { return i < operands.size() && operands[i].minus; };
    for (std::size_t i = 0; i < operands.size(); ++i) {
        if (!minus(i)) continue;
        if (instruction.opcode != Opcode::kVmad || i == 0 ||
            operands[i].kind != OperandKind::kRegister) {
            throw SyntaxError(instruction.line, "only the sources of vmad are negated by a `-`");
        }
        if (instruction.has(Modifier::kPo)) {
            throw SyntaxError(instruction.line, "vmad.po negates no operand");
        }
    }
    if (minus(1) != minus(2) && minus(3)) {
        throw SyntaxError(instruction.line, "vmad negates its product or what it adds, not both");
    }
}

// Checks the operands against the form; on success they are complete.
Reason fit_operands(const Form& form, Instruction& instruction, bool paired,
                    const CheckContext& context) {
    std::vector<Operand>& operands = instruction.operands;
    if (!form.operands.empty() && form.operands.front().role == OperandRole::kAnything) {
        return Reason();
    }
    const char pair = form.operands.empty() ? '\0' : form.operands.front().pair;
    if (paired && pair != 'p') return "does not write two destinations";
    if (pair != 0 && !paired && !operands.empty()) operands.insert(operands.begin() + 1, Operand());
    const std::size_t hidden = pair != 0 ? 1 : 0;
    std::size_t least = hidden;
    for (const OperandRule& rule : form.operands) least += rule.optional ? 0 : 1;
    const std::size_t most = form.operands.size() + hidden;
    if (operands.size() < least || operands.size() > most) {
        const std::size_t have = operands.size() - (operands.size() > hidden ? hidden : 0);
        return "has " + std::to_string(have) + " operands, not " + std::to_string(least - hidden) +
               (most > least ? " to " + std::to_string(most - hidden) : std::string());
    }
    OperandChecker checker(instruction, context);
    for (std::size_t i = 0; i < operands.size(); ++i) {
        OperandRule rule = form.operands[i == 0 ? 0 : i - hidden];
        if (hidden != 0 && i == 1) {
            rule = OperandRule{OperandRole::kPredicateOut, false, -1, Type::kPred, false, 0, 0};
        }
        Reason reason = checker.check(rule, operands[i]);
        if (!reason.empty()) {
            const bool is_second = hidden != 0 && i >= 1;
            return "operand " + std::to_string(is_second ? i : i + 1) + " " + reason;
        }
    }
    return Reason();
}

// Why no form has these words: the one that no form has, or their combination.
Reason explain_words(const Instruction& instruction, std::span<const Form> forms) {
    for (Modifier word : instruction.modifiers) {
        bool known = false;
        for (const Form& form : forms) {
            known = known || form.any_modifiers;
            for (const ModifierGroup& group : form.modifiers) {
                known = known || std::find(group.words.begin(), group.words.end(), word) !=
                                     group.words.end();
            }
        }
        if (!known) return "has no modifier ." + std::string(to_string(word));
    }
    return "is no instruction of PTX: these modifiers and types do not go together";
}

}  // namespace

const Variable& variable_of(const CheckContext& context, VariableScope scope, std::uint32_t index) {
    switch (scope) {
        case VariableScope::kModule:
            return context.module.variables[index];
        case VariableScope::kParameter:
            return context.function.parameters[index];
        case VariableScope::kReturn:
            return context.function.returns[index];
        case VariableScope::kBody:
            break;
    }
    return context.body.variables[index];
}

std::string spell(const Instruction& instruction) {
    std::string text(to_string(instruction.opcode));
    for (Modifier modifier : instruction.modifiers) {
        text += '.';
        if (modifier == Modifier::kShape) {
            text += 'm' + std::to_string(instruction.shape.m) + 'n' +
                    std::to_string(instruction.shape.n);
            if (instruction.shape.k != 0) text += 'k' + std::to_string(instruction.shape.k);
        } else {
            text += to_string(modifier);
        }
    }
    for (unsigned i = 0; i < instruction.type_count; ++i) text += dotted(instruction.types[i]);
    return text;
}

void check_instruction(Instruction& instruction, bool paired, const CheckContext& context) {
    refuse_selectors(instruction);
    check_signs(instruction);
    const std::span<const Form> forms = forms_of(instruction.opcode);
    std::vector<const Form*> candidates;
    for (const Form& form : forms) {
        if (fits_words(form, instruction.modifiers) && fits_types(form, instruction)) {
            candidates.push_back(&form);
        }
    }
    if (candidates.empty()) {
        throw SyntaxError(instruction.line,
                          spell(instruction) + " " + explain_words(instruction, forms));
    }
    Reason reason;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const bool is_last = i + 1 == candidates.size();
        std::vector<Operand> original;
        if (!is_last) original = instruction.operands;
        Reason current = fit_operands(*candidates[i], instruction, paired, context);
        if (current.empty()) return;
        // The first form is the common one: its complaint is the useful one.
        if (reason.empty()) reason = std::move(current);
        if (!is_last) instruction.operands = std::move(original);
    }
    throw SyntaxError(instruction.line, spell(instruction) + ": " + reason);
}

void check_call_list(Operand& list, const std::vector<Variable>& declared, const char* what,
                     const Instruction& instruction, const CheckContext& context) {
    const std::string prefix = "call: " + std::string(what) + " ";
    if (list.elements.size() != declared.size()) {
        throw SyntaxError(instruction.line,
                          prefix + "list has " + std::to_string(list.elements.size()) +
                              " entries, the function declares " + std::to_string(declared.size()));
    }
    OperandChecker checker(instruction, context);
    const bool results = std::string_view(what) == "result";
    for (std::size_t i = 0; i < declared.size(); ++i) {
        Operand& operand = list.elements[i];
        const Variable& formal = declared[i];
        const std::string number = prefix + std::to_string(i + 1) + " ";
        if (operand.kind == OperandKind::kVariable) {
            const Variable& actual = variable_of(context, operand.scope, operand.index);
            if (actual.space != Space::kParam || operand.value != 0) {
                throw SyntaxError(instruction.line, number + "must be a .param variable");
            }
            if (actual.size != formal.size && !formal.is_unsized) {
                throw SyntaxError(instruction.line, number + "has " + std::to_string(actual.size) +
                                                        " bytes, the function declares " +
                                                        std::to_string(formal.size));
            }
            operand.type = formal.type;
            continue;
        }
        if (operand.kind == OperandKind::kSink && results) {
            operand.type = formal.type;
            continue;
        }
        OperandRule rule;
        rule.role = results ? OperandRole::kDestination : OperandRole::kSource;
        rule.type = formal.type;
        if (formal.is_array) {
            throw SyntaxError(instruction.line, number + "must be a .param variable");
        }
        if (Reason reason = checker.check(rule, operand); !reason.empty()) {
            throw SyntaxError(instruction.line, number + reason);
        }
    }
}

}  // namespace cubar::softgpu::ptx
