// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cubar/layout.h"
#include "host/cubard/memory_plan.h"
#include "transport/descriptor.h"
#include "transport/host_words.h"

namespace cubar::host {

/// A mapped part of a file, writable and shared. Throws std::system_error.
class SharedMapping {
public:
    SharedMapping() = default;
    SharedMapping(int fd, std::size_t bytes);
    SharedMapping(SharedMapping&& other) noexcept;
    SharedMapping& operator=(SharedMapping&& other) noexcept;
    ~SharedMapping();

    std::byte* data() const { return bytes_.data(); }
    std::span<std::byte> bytes() const { return bytes_; }

private:
    std::span<std::byte> bytes_;
};

/// A memory file whose size nobody can change any more.
transport::Descriptor create_sealed_memory(const char* name, std::uint64_t bytes);

/// The size of a file made by create_sealed_memory(), or 0 where it is another kind of file.
std::uint64_t sealed_memory_bytes(int fd);

/// The memory behind a guest's BAR2, as cubard sees it: header, facts and channels are mapped, the
/// arena is not. The other side may write any byte of it at any time.
class GuestMemory {
public:
    /// Makes a new memory. Throws std::system_error.
    explicit GuestMemory(const MemoryPlan& plan);
    /// Takes back one that survived in the descriptor store. Its size and seals were checked.
    GuestMemory(const MemoryPlan& plan, transport::Descriptor file);

    /// Fills header and facts under a new epoch and says kServing; the magic comes last.
    void begin_serving(const Facts& facts, std::uint32_t cubard_peer,
                       std::uint32_t first_channel_peer);
    /// Tells those who wait for cubard that it lives.
    void beat() const { transport::beat(header()); }
    /// Says kStopping.
    void end_serving();

    const MemoryPlan& plan() const { return plan_; }
    int file() const { return file_.get(); }
    std::uint64_t epoch() const { return epoch_; }
    /// The session words of a channel; they point into this memory.
    transport::SessionWords words(std::uint32_t channel) const {
        return {header(), at(channel), channel};
    }
    /// The telemetry, in this memory.
    TelemetryPages& telemetry() const {
        return *reinterpret_cast<TelemetryPages*>(mapping_.data() + MemoryPlan::kTelemetryOffset);
    }
    /// Wakes every thread of the claimer that sleeps on a word of this channel (local device; where
    /// the guest is a VM nobody sleeps there).
    void wake_sleepers(std::uint32_t channel) const;

private:
    Header& header() const { return *reinterpret_cast<Header*>(mapping_.data()); }
    Channel& at(std::uint32_t channel) const {
        return *reinterpret_cast<Channel*>(mapping_.data() + plan_.channel_offset(channel));
    }

    MemoryPlan plan_;
    transport::Descriptor file_;
    SharedMapping mapping_;
    std::uint64_t epoch_ = 0;
};

}  // namespace cubar::host
