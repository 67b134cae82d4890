// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>

#include "cubar/layout.h"
#include "host/worker/driver.h"

namespace cubar::host {

class ControlClient;

/// The arena as this worker sees it: granules that cubard leased to the session, mapped at the
/// address that guest and worker agreed on, and page-locked for the GPU. Thread-safe.
class ArenaView {
public:
    struct Place {
        int memory_fd;
        std::uint64_t offset;   ///< of the arena in the memory
        std::uint64_t bytes;    ///< of the arena
        std::uint64_t address;  ///< of its first byte, in guest and worker alike; 0: anywhere
    };

    ArenaView(const Place& place, ControlClient& control, const Driver& driver);
    ArenaView(const ArenaView&) = delete;
    ArenaView& operator=(const ArenaView&) = delete;
    ~ArenaView();

    /// Takes the address range, before anything else can. False: it is not free here.
    bool reserve();

    struct Lease {
        std::uint64_t offset;  ///< of the first granule in the arena
        bool registered;       ///< the GPU reaches it by itself
    };
    /// Leases, maps and page-locks a run of granules. Nothing: the arena is full.
    std::optional<Lease> lease(std::uint64_t granules);
    /// The reverse. False: not such a run. Waits for nothing: the caller knows that no DMA is left.
    bool give_back(std::uint64_t offset, std::uint64_t granules);

    /// The context through which the runs were page-locked is gone.
    void lost_registrations();
    /// Page-locks what is not, through the current context.
    void register_missing();

    /// The bytes of a range that lies inside leased granules; empty if it does not.
    std::span<std::byte> bytes(std::uint64_t offset, std::uint64_t size) const;
    bool registered(std::uint64_t offset) const;

private:
    struct Run {
        std::uint64_t bytes;
        bool registered;
    };
    std::byte* at(std::uint64_t offset) const { return base_ + offset; }
    bool page_lock(std::uint64_t offset, std::uint64_t size) const;

    Place place_;
    ControlClient& control_;
    const Driver& driver_;
    std::byte* base_ = nullptr;
    mutable std::mutex mutex_;
    std::map<std::uint64_t, Run> runs_;  // by offset
};

}  // namespace cubar::host
