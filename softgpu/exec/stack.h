// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/exec/warp.h"
#include "softgpu/ptx/opcode.h"

namespace cubar::softgpu::exec {

/// alloca (imm is the alignment), stacksave and stackrestore on registers of so many bits; null for
/// any other instruction.
Handler find_stack(ptx::Opcode opcode, unsigned bits);

}  // namespace cubar::softgpu::exec
