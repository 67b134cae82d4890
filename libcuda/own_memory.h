// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "cubar/layout.h"

namespace cubar::guest {

/// False where part of the range is not mapped in this process, or where there is no such range.
inline bool is_mapped(std::span<const std::byte> bytes) {
    const auto begin = reinterpret_cast<std::uint64_t>(bytes.data());
    if (begin + bytes.size() < begin) return false;
    const std::uint64_t page = begin & ~(kPageBytes - 1);
    // Writes nothing back, and tells of holes.
    return msync(reinterpret_cast<void*>(page), begin - page + bytes.size(), MS_ASYNC) == 0;
}

}  // namespace cubar::guest
