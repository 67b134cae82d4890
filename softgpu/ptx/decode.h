// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::ptx {

// Adds one word after the opcode ("rn", "f32", "m16n8k16") to the instruction: to its types or its
// modifiers, and to the field that repeats it. False when PTX has no such word.
bool add_word(Instruction& instruction, std::string_view word);

}  // namespace cubar::softgpu::ptx
