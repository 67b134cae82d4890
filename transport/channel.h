// SPDX-License-Identifier: Apache-2.0
// The guest's side of a claimed channel: everything that a call needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "transport/arena.h"
#include "transport/claim.h"
#include "transport/fence.h"
#include "transport/reply.h"
#include "transport/ring_producer.h"

namespace cubar::transport {

/// One per process and device. Thread-safe. In a forked child every call returns kForked and
/// touches nothing of the parent's.
class Channel {
public:
    static Result<std::unique_ptr<Channel>> open(Device& device, const ClaimOptions& options = {});
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    /// Sends a record and does not wait. `request` may be any wire structure.
    template <typename Request>
    Posted post(const Call& call, const Request& request, std::span<const std::byte> payload = {}) {
        if (!alive()) [[unlikely]] {
            return {Error::kForked, 0};
        }
        return ring_.post(call, request, payload);
    }

    /// Begins a record that the caller builds in place: set_header(), body(), commit(). It holds
    /// the ring's lock meanwhile, so gather and copy, but do nothing that may block.
    RingProducer::Build begin(std::size_t body_bytes) {
        if (!alive()) [[unlikely]] {
            return RingProducer::Build(Error::kForked);
        }
        return ring_.begin(body_bytes);
    }

    /// For a caller who knows that this is no forked child: the channel's own check again and again
    /// is what it saves.
    RingProducer& ring() { return ring_; }

    /// Sends a record and waits for its answer; the body goes to `reply`.
    Answer call(const Call& call, std::span<const std::byte> request,
                std::span<const std::byte> payload, std::span<std::byte> reply,
                Nanoseconds deadline = kNever);

    /// The CUresult of the first deferred error, 0 if there is none: one load.
    std::uint32_t deferred_error() const {
        return alive() ? control().error_code.load(std::memory_order_acquire) : 0;
    }
    /// Where it happened; meaningful after deferred_error() was not 0.
    Position deferred_error_position() const {
        return control().error_position.load(std::memory_order_relaxed);
    }
    std::uint64_t deferred_error_context() const {
        return control().error_context.load(std::memory_order_relaxed);
    }

    /// True if the fence has reached the position. See Fences.
    bool reached(std::uint32_t fence, Position position) const {
        return alive() && fences_.reached(fence, position);
    }
    Error wait_fence(std::uint32_t fence, Position position, Nanoseconds deadline = kNever) const {
        return alive() ? fences_.wait(fence, position, deadline) : Error::kForked;
    }

    /// kNone, kForked or kSessionDead.
    Error status() const { return alive() ? liveness_.session() : Error::kForked; }
    /// Why the session ended; meaningful after kSessionDead.
    SessionError session_error() const;
    /// True in the process that opened the channel.
    bool alive() const { return claim_.owner().valid(); }

    /// Maps granules that the host leased to this session, and adds them to the arena.
    Failure add_granules(GranuleRun run);
    /// Takes a run of wholly free granules out of the arena and unmaps it; count 0: there is none.
    /// The caller then gives the lease back to the host.
    GranuleRun remove_free_granules();
    Arena& arena() { return arena_; }
    /// Address of the arena's first byte, the same in the worker.
    std::byte* arena_base() { return claim_.arena().data(); }
    MemoryType memory_type() const { return device_.memory_type(); }

    unsigned number() const { return claim_.channel(); }
    std::uint64_t session_id() const {
        return control().session_id.load(std::memory_order_relaxed);
    }
    Position position() const { return ring_.position(); }
    /// Ends the session, as the process ends; see Claim::give_up().
    void end() {
        if (alive()) {
            claim_.give_up();
        }
    }
    /// Releases channels of this device whose owners died; see transport/claim.h.
    unsigned reap();

private:
    Channel(Device& device, Claim&& claim, Mapping&& ring, Mapping&& long_replies);
    ChannelControl& control() const { return claim_.control(); }

    Device& device_;
    Claim claim_;
    Mapping ring_memory_;
    Mapping long_replies_;
    SpinBudget budget_;
    Forecast forecast_;
    Liveness liveness_;
    WaitContext wait_;
    RingProducer ring_;
    ReplySlots replies_;
    Fences fences_;
    Arena arena_;
};

}  // namespace cubar::transport
