// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "host/common/control_protocol.h"

namespace cubar::host {

/// A session's number: never 0, never used again by this cubard.
using SessionId = std::uint64_t;

/// What a VM's sessions have allocated, on each device that the VM sees: the one truth behind
/// cuMemGetInfo, cuDeviceTotalMem, NVML and the quota. Workers ask before they allocate; when a
/// worker's process is gone, so is what it was charged. Not thread-safe.
class Ledger {
public:
    struct Limits {
        std::uint64_t total = 0;  ///< bytes of the device
        std::uint64_t quota = 0;  ///< bytes that the VM may use of it; 0: no limit of ours
    };

    Ledger() = default;
    explicit Ledger(const std::vector<Limits>& devices);

    Verdict charge(SessionId session, std::uint32_t device, std::uint64_t bytes);
    Verdict credit(SessionId session, std::uint32_t device, std::uint64_t bytes);
    /// Forgets the session and all that it was charged.
    void drop(SessionId session);

    std::size_t device_count() const { return devices_.size(); }
    /// The device must exist.
    Usage usage(std::uint32_t device) const;
    std::uint64_t used_by(SessionId session, std::uint32_t device) const;

private:
    struct Device {
        Limits limits;
        std::uint64_t used = 0;
    };
    std::vector<Device> devices_;
    std::map<SessionId, std::vector<std::uint64_t>> sessions_;
};

/// Who holds which granule of a guest's arena. A granule comes back when its session returns it, or
/// when the session is over (the worker gone, and the channel released by the guest).
///
/// The owners stand in memory that cubard keeps across its own restart (guest_book.h).
class GranuleLedger {
public:
    GranuleLedger() = default;
    /// One owner per granule, 0 where it is free.
    explicit GranuleLedger(std::span<SessionId> owners) : owners_(owners) {}

    /// Leases the first free run of `count` granules; false where there is none.
    bool lease(SessionId session, std::uint64_t count, std::uint64_t& first);
    Verdict give_back(SessionId session, std::uint64_t first, std::uint64_t count);
    void drop(SessionId session);

    std::uint64_t held_by(SessionId session) const;
    std::uint64_t free() const { return held_by(0); }

private:
    std::span<SessionId> owners_;
};

}  // namespace cubar::host
