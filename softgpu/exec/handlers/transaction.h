// SPDX-License-Identifier: Apache-2.0
// The 64 bits of an mbarrier, which PTX leaves to the implementation. All changes are atomic. See
// lanes.h about the unnamed namespace.
#pragma once

#include "softgpu/exec/handlers/memory_access.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

// From bit 0: arrivals that the phase still waits for; arrivals of each phase; bytes that the phase
// still waits for, in two's complement; the phase's parity.
struct Transaction {
    static constexpr unsigned kCountBits = 20;
    static constexpr unsigned kBytesBits = 22;
    static constexpr unsigned kExpectedAt = kCountBits;
    static constexpr unsigned kBytesAt = 2 * kCountBits;
    static constexpr unsigned kPhaseAt = 63;

    uint64_t word;

    static uint64_t low(uint64_t value, unsigned bits) {
        return value & ((uint64_t{1} << bits) - 1);
    }
    uint64_t pending() const { return low(word, kCountBits); }
    uint64_t expected() const { return low(word >> kExpectedAt, kCountBits); }
    uint64_t bytes() const { return low(word >> kBytesAt, kBytesBits); }
    uint64_t phase() const { return word >> kPhaseAt; }

    static Transaction make(uint64_t pending, uint64_t expected, uint64_t bytes, uint64_t phase) {
        return {low(pending, kCountBits) | low(expected, kCountBits) << kExpectedAt |
                low(bytes, kBytesBits) << kBytesAt | phase << kPhaseAt};
    }

    // After so many arrivals, of which `dropped` are the last ones of their threads, and so many
    // bytes more to wait for.
    Transaction after(uint64_t arrivals, uint64_t dropped, uint64_t more_bytes) const {
        const uint64_t left = low(pending() - arrivals, kCountBits);
        const uint64_t next = low(expected() - dropped, kCountBits);
        const uint64_t to_come = low(bytes() + more_bytes, kBytesBits);
        if (left != 0 || to_come != 0) return make(left, next, to_come, phase());
        return make(next, next, 0, phase() ^ 1);
    }
};

// Gives what was there. Pairs with the like and with tests of the phase, of any thread.
inline Transaction change(char* at, uint64_t arrivals, uint64_t dropped, uint64_t more_bytes) {
    auto* const place = reinterpret_cast<uint64_t*>(at);
    uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(place, &seen,
                                        Transaction{seen}.after(arrivals, dropped, more_bytes).word,
                                        true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    return {seen};
}

// An address of shared memory, or a generic one. Null after a fault.
inline char* resolve_one(Warp& warp, const Insn* insn, unsigned lane, uint64_t address, bool shared,
                         unsigned bytes, unsigned align) {
    if (shared) address += kSharedWindow;
    if (address % align != 0) {
        fault_misaligned(warp, insn, address);
        return nullptr;
    }
    return resolve_generic(warp, insn, lane, address, bytes);
}

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
