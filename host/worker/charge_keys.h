// SPDX-License-Identifier: Apache-2.0
#pragma once

// Under which keys a context's own memory is charged (Allocations). Whatever else is charged has
// its device address or its handle for a key, whose upper four bits are never set.

#include <cstdint>

#include "cubar/handle.h"

namespace cubar::host {

constexpr unsigned kContextKeyShift = 60;

/// What a limit of the context takes (CUlimit).
inline std::uint64_t limit_key(ContextHandle context, std::uint32_t limit) {
    return context.bits() | (std::uint64_t{limit} + 1) << kContextKeyShift;
}

/// Local memory of its kernels: above the limits that take memory.
inline std::uint64_t local_memory_key(ContextHandle context) {
    return context.bits() | std::uint64_t{15} << kContextKeyShift;
}

}  // namespace cubar::host
