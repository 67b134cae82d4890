// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"

namespace cubar::guest {

/// Mirrors a module of the current context, unless it is mirrored already. `library`: whose module
/// it is, or null.
CUresult mirror_module(const Caller& caller, ModuleHandle handle, LibraryHandle library);

/// Remembers a variable of a module or library, so that copies to and from it are recognised.
void remember_global(const Caller& caller, AnyHandle code, std::uint64_t address,
                     std::uint64_t bytes);

/// Passes the result on of looking for a kernel by name, and logs that there is none.
CUresult found(const char* name, CUresult result);

/// Forgets what was found in a module or library: the host has unloaded it.
void drop_functions(Session& session, ModuleHandle module);
void drop_globals(Session& session, AnyHandle code);

}  // namespace cubar::guest
