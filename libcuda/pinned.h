// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/address_map.h"
#include "libcuda/call.h"

namespace cubar::guest {

/// True where pinned memory lies in the arena and the GPU works on it: the guest maps BAR2
/// write-back.
bool zero_copy(const Caller& caller);

/// Allocates arena memory that both sides reach at one address, and remembers it as `kind`.
CUresult allocate_shared(const Caller& caller, std::size_t bytes, MemoryKind kind, unsigned flags,
                         void*& out);

/// Gives such memory back, after the work that may still use it; it must be remembered as `range`.
CUresult free_shared(const Caller& caller, const MemoryRange& range);

/// The same for memory that was forgotten with its context.
void free_pinned(Session& session, const MemoryRange& range);

}  // namespace cubar::guest
