// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"

namespace cubar::guest {

/// Mirrors a module of the current context, unless it is mirrored already.
CUresult mirror_module(const Caller& caller, ModuleHandle handle);

/// Remembers a variable of a module or library, so that copies to and from it are recognised.
void remember_global(const Caller& caller, std::uint64_t address, std::uint64_t bytes);

}  // namespace cubar::guest
