// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::ptx {

// What an instruction's operands refer to.
struct CheckContext {
    const Module& module;
    const Function& function;
    const Body& body;
};

// The variable that an operand names.
const Variable& variable_of(const CheckContext& context, VariableScope scope, std::uint32_t index);

// Finds the form (forms.h) that the instruction is written in and completes it: types and immediate
// bits of the operands, the places of absent second destinations, fragments as vectors.
// Immediates arrive as they stand in the text: type kS64, kU64, kF32 or kF64 and the bits.
// `paired`: operands[1] was written as `|q`.
// Throws SyntaxError, naming the instruction, when no form fits.
void check_instruction(Instruction& instruction, bool paired, const CheckContext& context);

// The same for the arguments or results of a call against their declaration.
void check_call_list(Operand& list, const std::vector<Variable>& declared, const char* what,
                     const Instruction& instruction, const CheckContext& context);

// "cvt.rn.f32.s32".
std::string spell(const Instruction& instruction);

}  // namespace cubar::softgpu::ptx
