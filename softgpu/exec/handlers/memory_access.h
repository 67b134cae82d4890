// SPDX-License-Identifier: Apache-2.0
// From a warp's addresses to host addresses that it may touch. See lanes.h about the unnamed
// namespace.
#pragma once

#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

struct Access {
    char* at[kLanes];
    bool contiguous = false;  // all lanes, in order, each `bytes` after the one before
    bool uniform = false;     // all lanes, the same place
};

// The addresses of all lanes; those of inactive ones are of no meaning.
inline void gather_addresses(const Warp& warp, const Insn* insn, Slot slot,
                             uint64_t (&address)[kLanes]) {
    const uint64_t offset = insn->imm + ((insn->flags & kFrameRelative) != 0 ? warp.local_base : 0);
    if ((insn->flags & kAddress32) != 0) {
        const uint32_t* from = lanes<uint32_t>(warp, slot);
        CUBAR_EACH_LANE address[lane] = from[lane] + offset;
    } else {
        const uint64_t* from = lanes<uint64_t>(warp, slot);
        CUBAR_EACH_LANE address[lane] = from[lane] + offset;
    }
}

// One address of no particular space. Null after a fault.
inline char* resolve_generic(Warp& warp, const Insn* insn, unsigned lane, uint64_t address,
                             unsigned bytes) {
    RangeCache& cache = warp.caches[insn->aux % kRangeCaches];
    if (address - cache.begin <= cache.length - bytes && cache.length >= bytes) {
        return reinterpret_cast<char*>(address);
    }
    if (address - kSharedWindow < kWindowBytes) {
        const uint64_t offset = address - kSharedWindow;
        if (offset + bytes <= warp.shared_bytes) return warp.shared + offset;
        if (char* const at = cluster_shared(warp, offset, bytes); at != nullptr) return at;
    } else if (address - kLocalWindow < kWindowBytes) {
        const uint64_t offset = address - kLocalWindow;
        if (offset + bytes <= warp.local_bytes) {
            return warp.local + lane * warp.local_bytes + offset;
        }
    } else if (refill_cache(warp, cache, address, bytes)) {
        return reinterpret_cast<char*>(address);
    }
    fault_illegal_address(warp, insn, address);
    return nullptr;
}

// False after a fault: the handler returns null.
template <ptx::Space kSpace>
inline bool resolve(Warp& warp, const Insn* insn, uint32_t mask, Slot slot, unsigned bytes,
                    Access& access) {
    alignas(64) uint64_t address[kLanes];
    gather_addresses(warp, insn, slot, address);
    const unsigned leader = unsigned(__builtin_ctz(mask));
    if (mask != kAllLanes) {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (!has_lane(mask, lane)) address[lane] = address[leader];
        }
    }
    uint64_t low_bits = 0;
    uint64_t beyond = 0;  // its top bit: some address is outside of [begin, begin + room]
    uint64_t spread = 0;  // zero: all equal
    uint64_t stride = 0;  // zero: one after the other
    uint64_t begin = 0;
    uint64_t length = kSpace == ptx::Space::kShared ? warp.shared_bytes : warp.local_bytes;
    if constexpr (kSpace == ptx::Space::kGlobal || kSpace == ptx::Space::kGeneric) {
        begin = warp.caches[insn->aux % kRangeCaches].begin;
        length = warp.caches[insn->aux % kRangeCaches].length;
    }
    const uint64_t room = length - bytes;
    const uint64_t first = address[0];
    CUBAR_EACH_LANE {
        const uint64_t distance = address[lane] - begin;
        low_bits |= address[lane];
        beyond |= distance | (room - distance);
        spread |= address[lane] ^ first;
        stride |= address[lane] ^ (first + uint64_t{lane} * bytes);
    }
    beyond |= room;
    if ((low_bits & (bytes - 1)) != 0) {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(mask, lane) && (address[lane] & (bytes - 1)) != 0) {
                fault_misaligned(warp, insn, address[lane]);
                return false;
            }
        }
    }
    access.uniform = mask == kAllLanes && spread == 0;
    access.contiguous = mask == kAllLanes && stride == 0;
    if (int64_t(beyond) >= 0) {
        if constexpr (kSpace == ptx::Space::kShared) {
            char* const base = warp.shared;
            CUBAR_EACH_LANE access.at[lane] = base + address[lane];
        } else if constexpr (kSpace == ptx::Space::kLocal) {
            access.uniform = false;  // each lane has its own
            access.contiguous = false;
            char* const base = warp.local;
            const uint64_t step = warp.local_bytes;
            CUBAR_EACH_LANE access.at[lane] = base + uint64_t{lane} * step + address[lane];
        } else {
            CUBAR_EACH_LANE access.at[lane] = reinterpret_cast<char*>(address[lane]);
        }
        return true;
    }
    if constexpr (kSpace == ptx::Space::kLocal) {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            const bool inside = length >= bytes && address[lane] <= room;
            if (has_lane(mask, lane) && !inside) {
                fault_illegal_address(warp, insn, kLocalWindow + address[lane]);
                return false;
            }
        }
        return false;
    } else {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            const unsigned from = has_lane(mask, lane) ? lane : leader;
            const uint64_t window = kSpace == ptx::Space::kShared ? kSharedWindow : 0;
            access.at[lane] = resolve_generic(warp, insn, from, window + address[lane], bytes);
            if (access.at[lane] == nullptr) return false;
        }
        // In local memory equal addresses are different places, and neighbours are not adjacent.
        access.uniform = access.uniform && access.at[0] == access.at[kLanes - 1];
        access.contiguous = access.contiguous &&
                            access.at[kLanes - 1] - access.at[0] == int64_t{kLanes - 1} * bytes;
        return true;
    }
}

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
