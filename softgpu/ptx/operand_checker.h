// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "softgpu/ptx/check.h"
#include "softgpu/ptx/forms.h"

namespace cubar::softgpu::ptx {

// Empty: it fits. Else the reason why not.
using Reason = std::string;

// ".f32".
std::string dotted(std::string_view word);
std::string dotted(Type type);

// Holds the operands of one instruction against the rules of a form, and completes them.
class OperandChecker {
public:
    OperandChecker(const Instruction& instruction, const CheckContext& context)
        : instruction_(instruction), context_(context) {}

    // Where it does not fit the operand may have changed.
    Reason check(const OperandRule& rule, Operand& operand);

private:
    static Type doubled(Type type);
    Type register_type(const Operand& operand) const;
    bool is_predicate(const Operand& operand) const;
    static Reason sink(Operand& operand, Type type);
    Reason fits_register(Operand& operand, Type type, bool wider) const;
    Reason destination(Operand& operand, Type type, bool wider) const;
    static Reason immediate(Operand& operand, Type type);
    Reason source(Operand& operand, Type type, bool wider) const;
    // What mov and cvt may read besides: special registers of any width, addresses.
    Reason any_source(Operand& operand, Type type, bool wider) const;
    Reason packed(Operand& operand, Type type) const;
    Reason memory_value(Operand& operand, Type type, bool is_destination) const;
    Reason predicate(Operand& operand, bool may_negate) const;
    // The space that this address is in: cp.async names that of its destination first.
    Space space_of_address(const Operand& operand) const;
    Reason address(Operand& operand) const;
    static bool reaches(Space access, Space variable);
    Reason fragment(Operand& operand, char matrix) const;
    Reason symbol(Operand& operand, Type type) const;

    const Instruction& instruction_;
    const CheckContext& context_;
};

}  // namespace cubar::softgpu::ptx
