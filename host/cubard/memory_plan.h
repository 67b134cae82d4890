// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "cubar/layout.h"
#include "cubar/telemetry.h"

namespace cubar::host {

inline constexpr std::uint64_t kMaxBarBytes = std::uint64_t{1} << 40;
/// A guest with less arena than this could not even stage its copies.
inline constexpr std::uint64_t kMinArenaBytes = 8 * kGranuleBytes;

/// Where things lie in a memory of this size with this number of channels. cubard computes it again
/// wherever it needs it: the header in the memory is the guest's to scribble on.
struct MemoryPlan {
    std::uint64_t bar_bytes;
    std::uint32_t channels;

    static constexpr std::uint64_t kFactsOffset = kPageBytes;
    /// Channels begin on a granule, so that huge pages can back them and the arena.
    static constexpr std::uint64_t kChannelsOffset = kGranuleBytes;
    static constexpr std::uint64_t kTelemetryOffset =
        (kFactsOffset + sizeof(Facts) + kPageBytes - 1) & ~std::uint64_t{kPageBytes - 1};
    static_assert(kTelemetryOffset + sizeof(TelemetryPages) <= kChannelsOffset);

    constexpr std::uint64_t channel_offset(std::uint32_t channel) const {
        return kChannelsOffset + channel * std::uint64_t{sizeof(Channel)};
    }
    constexpr std::uint64_t arena_offset() const { return channel_offset(channels); }
    constexpr std::uint64_t arena_bytes() const { return bar_bytes - arena_offset(); }
    constexpr std::uint64_t granules() const { return arena_bytes() / kGranuleBytes; }
};

/// The smallest BAR (a power of two) for so many channels.
constexpr std::uint64_t smallest_bar(std::uint32_t channels) {
    return std::bit_ceil(MemoryPlan{0, channels}.arena_offset() + kMinArenaBytes);
}

}  // namespace cubar::host
