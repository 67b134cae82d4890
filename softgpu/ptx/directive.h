// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/ptx/lexer.h"

namespace cubar::softgpu::ptx {

// Skips `.loc`, `.file` and `.section`, whose directive token has just been taken. False if it is
// another directive.
bool skip_debug_directive(Lexer& lexer, const Token& directive);

}  // namespace cubar::softgpu::ptx
