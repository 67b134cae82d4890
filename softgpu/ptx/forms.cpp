// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/forms.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "softgpu/ptx/form_lines.h"
#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

using lines::Abbreviation;
using lines::kAbbreviations;
using lines::kLines;
using lines::Line;

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        if (end > 0) parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

// Calls `visit` with each alternative of `a|b|C`, abbreviations resolved.
template <typename Visit>
void each_alternative(std::string_view text, const Visit& visit) {
    for (std::string_view word : split(text, '|')) {
        const Abbreviation* found = nullptr;
        for (const Abbreviation& abbreviation : kAbbreviations) {
            if (abbreviation.name == word) found = &abbreviation;
        }
        if (!found) {
            visit(word);
        } else {
            each_alternative(found->text, visit);
        }
    }
}

[[noreturn]] void bad_table(std::string_view word) {
    throw std::logic_error("PTX form table: " + std::string(word));
}

OperandRole role_of(char letter) {
    switch (letter) {
        case 'd':
            return OperandRole::kDestination;
        case 'D':
            return OperandRole::kWideDestination;
        case 'e':
            return OperandRole::kOptionalResult;
        case 's':
            return OperandRole::kSource;
        case 'S':
            return OperandRole::kWideSource;
        case 'm':
            return OperandRole::kAnySource;
        case 'k':
            return OperandRole::kPacked;
        case 'K':
            return OperandRole::kPackedSource;
        case 'L':
            return OperandRole::kVectorTo;
        case 'T':
            return OperandRole::kVectorFrom;
        case 'i':
            return OperandRole::kImmediate;
        case 'p':
            return OperandRole::kPredicateOut;
        case 'q':
            return OperandRole::kPredicateIn;
        case 'a':
            return OperandRole::kAddress;
        case 'l':
            return OperandRole::kLabel;
        case 'g':
            return OperandRole::kTargets;
        case 'x':
            return OperandRole::kFragment;
        case 'o':
            return OperandRole::kRegisterOrPredicate;
        case 'y':
            return OperandRole::kSymbol;
        case '*':
            return OperandRole::kAnything;
        default:
            bad_table(std::string_view(&letter, 1));
    }
}

OperandRule make_rule(std::string_view text) {
    OperandRule rule;
    rule.role = role_of(text[0]);
    if (rule.role == OperandRole::kPredicateOut || rule.role == OperandRole::kPredicateIn) {
        rule.type = Type::kPred;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '?') {
            rule.optional = true;
        } else if (c == '+') {
            rule.pair = text[++i];
        } else if (c == ':') {
            const std::size_t end = std::min(text.find_first_of("+?", i), text.size());
            const auto type = find_type(text.substr(i + 1, end - i - 1));
            if (!type) bad_table(text);
            rule.type = *type;
            i = end - 1;
        } else if (rule.role == OperandRole::kFragment) {
            rule.fragment = c;
        } else if (c == 'w') {
            rule.doubled = true;
        } else if (c >= '0' && c <= '9') {
            rule.type_position = static_cast<std::int8_t>(c - '0');
        } else {
            bad_table(text);
        }
    }
    return rule;
}

Form make_form(const Line& line) {
    Form form;
    for (std::string_view group : split(line.modifiers, ' ')) {
        if (group == "*") {
            form.any_modifiers = true;
            continue;
        }
        ModifierGroup parsed;
        if (group[0] == '!') {
            parsed.required = true;
            group.remove_prefix(1);
        }
        each_alternative(group, [&](std::string_view word) {
            const auto modifier = find_modifier(word);
            if (!modifier) bad_table(word);
            parsed.words.push_back(*modifier);
        });
        form.modifiers.push_back(std::move(parsed));
    }
    if (line.types == "*") {
        form.any_types = true;
    } else if (line.types != "-") {
        for (std::string_view position : split(line.types, ' ')) {
            std::vector<Type>& types = form.types.emplace_back();
            each_alternative(position, [&](std::string_view word) {
                const auto type = find_type(word);
                if (!type) bad_table(word);
                types.push_back(*type);
            });
        }
    }
    for (std::string_view operand : split(line.operands, ' ')) {
        form.operands.push_back(make_rule(operand));
    }
    return form;
}

using Table = std::array<std::vector<Form>, static_cast<std::size_t>(Opcode::kCount)>;

Table make_table() {
    Table table;
    for (const Line& line : kLines) {
        table[static_cast<std::size_t>(line.opcode)].push_back(make_form(line));
    }
    return table;
}

}  // namespace

std::span<const Form> forms_of(Opcode opcode) {
    static const Table table = make_table();
    return table[static_cast<std::size_t>(opcode)];
}

}  // namespace cubar::softgpu::ptx
