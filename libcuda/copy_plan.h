// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "libcuda/address_map.h"

namespace cubar::guest {

/// How one end of a copy is reached.
enum class Reach : std::uint8_t {
    kGpu,    ///< by the GPU at this very address: device memory, or pinned memory in the arena
    kGuest,  ///< by this process alone: its bytes pass through the ring or through staging
};

/// One end of a copy, found by its address.
struct CopyEnd {
    Reach reach = Reach::kGuest;
    bool on_device = false;
    std::uint64_t address = 0;
};

/// Looks an address up. `bytes` is how far the copy reaches from it; a range that ends earlier gives
/// false, as CUDA refuses such a copy at once.
inline bool find_end(const AddressMap& addresses, std::uint64_t address, std::uint64_t bytes,
                     CopyEnd& out) {
    out.address = address;
    const auto range = addresses.find(address);
    if (!range) return true;
    out.on_device = range->on_device();
    if (out.on_device || range->kind == MemoryKind::kPinned) out.reach = Reach::kGpu;
    return bytes <= range->end() - address;
}

}  // namespace cubar::guest
