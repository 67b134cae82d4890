// SPDX-License-Identifier: Apache-2.0
// Who has a channel, as its lock and its control page tell: docs/protocol.md, the life of a claim.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cubar/layout.h"
#include "transport/device.h"
#include "transport/mapping.h"
#include "transport/result.h"

namespace cubar::transport {

using BootId = std::array<std::uint64_t, 2>;

/// Pages of a channel with the words that are polled: control page, reply slots, fences.
inline constexpr std::size_t kControlBytes = 3 * kPageBytes;

enum class Locked : std::uint8_t { kYes, kNo, kError };

/// Takes (F_WRLCK) or drops (F_UNLCK) a channel's lock.
Locked set_lock(int file, unsigned channel, short type);

/// Names the file that is locked, so that users of different files notice it.
std::uint64_t identity_of(int file);

Result<Mapping> map_control(Device& device, unsigned channel);

SessionState state_of(const ChannelControl& control);

/// What the last claimer of a channel left behind, seen by who holds the channel's lock now.
enum class Tenant : std::uint8_t {
    kNobody,   ///< free
    kGone,     ///< dead: release it
    kUnknown,  ///< it locked another file: only those who lock that one can tell
};
Tenant tenant_of(const ChannelControl& control, std::uint64_t identity, const BootId& boot_id);

/// Puts a request to cubard and returns its number.
std::uint64_t ask(Device& device, ChannelControl& control, ClaimRequest request);

/// How the channels are taken, by the lock of each.
struct Survey {
    unsigned locked = 0;   ///< by a live process
    unsigned unknown = 0;  ///< see Tenant
    unsigned free = 0;
    std::uint64_t orphans = 0;  ///< bit k: channel k is to be free soon
    unsigned asked = 0;         ///< orphans whose release nobody had asked for
};

/// Has those of `channels` (bit k: channel k) released whose owners died, and does not wait.
Survey release_orphans(Device& device, int file, std::uint64_t channels, const BootId& boot_id);

}  // namespace cubar::transport
