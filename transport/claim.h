// SPDX-License-Identifier: Apache-2.0
// How a guest process comes to own a channel, and how it is given up. docs/protocol.md tells the
// life of a claim.
#pragma once

#include <array>
#include <cstdint>

#include "cubar/layout.h"
#include "transport/descriptor.h"
#include "transport/device.h"
#include "transport/fork_mark.h"
#include "transport/mapping.h"
#include "transport/result.h"
#include "transport/tenant.h"

namespace cubar::transport {

/// Of the running kernel; zeros if /proc does not tell.
BootId read_boot_id();

struct ClaimOptions {
    std::uint32_t protocol_version = kProtocolVersion;
    BootId boot_id = read_boot_id();
    std::uint32_t confirm_ms = kConfirmMs;  ///< how long cubard may take to answer at all
    std::uint32_t silence_ms = kSilenceMs;  ///< how long it may be silent before a release is done
};

/// A channel that this process holds: its lock, its control page, and an address range for the
/// arena that is free on both sides. Releases it when it goes, except in a forked child, where it
/// does nothing.
class Claim {
public:
    /// Takes the first channel that is free. Where there is none, or the VM has no more sessions,
    /// has channels released whose owners died. Retries with other arena addresses while the host
    /// says kAddressTaken. Returns once the session is kReady.
    static Result<Claim> take(Device& device, const ClaimOptions& options = {});

    Claim(Claim&&) noexcept;
    Claim& operator=(Claim&&) = delete;
    ~Claim();

    /// Asks cubard to take the session down and does not wait; calls that follow find it dead. The
    /// lock stays until this goes or the process ends, so nobody else claims what a thread of this
    /// process may still be writing to.
    void give_up();

    unsigned channel() const { return channel_; }
    std::uint64_t epoch() const { return epoch_; }
    /// Control page, reply slots and fences.
    std::byte* control_pages() const { return pages_.data(); }
    ChannelControl& control() const { return *reinterpret_cast<ChannelControl*>(pages_.data()); }
    /// Addresses of the whole arena; nothing is mapped in it yet.
    Mapping& arena() { return arena_; }
    const ForkMark& owner() const { return owner_; }

private:
    friend struct ClaimAttempt;
    Claim() = default;

    Device* device_ = nullptr;
    unsigned channel_ = 0;
    std::uint64_t epoch_ = 0;
    Descriptor lock_;
    Mapping pages_;
    Mapping arena_;
    ForkMark owner_;
};

/// Releases the channels of this device whose owners died: claimed (Header::claimed_channels), yet
/// their lock is free. Asks cubard and does not wait. Returns how many. To be called about once a
/// second by a live client while other channels are claimed, and by cubar-reap. `own`: a channel
/// to leave alone (kMaxChannels: none). Costs one load if nothing else is claimed, else one system
/// call per claimed channel.
unsigned reap_orphans(Device& device, unsigned own, const BootId& boot_id);

}  // namespace cubar::transport
