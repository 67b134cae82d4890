// SPDX-License-Identifier: Apache-2.0
// The worker's end of a channel's command ring.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/wait.h"

namespace cubar::transport {

/// A record in private memory. Only RingConsumer fills one, by copying it out of the ring once, so
/// whatever is checked in it stays as it was checked. Movable, to be handed to another thread.
class Record {
public:
    /// An empty record, for RingConsumer::next() to fill.
    Record() = default;

    const RecordHeader& header() const { return header_; }
    /// What follows the header, up to the record's end: request, payload, padding (under 16 bytes).
    std::span<const std::byte> body() const { return {body_.get(), body_bytes_}; }
    /// Position at which it ends: the one that fences, errors and replies speak of.
    Position end() const { return end_; }

private:
    friend class RingConsumer;

    RecordHeader header_{};
    std::unique_ptr<std::byte[]> body_;
    std::size_t body_bytes_ = 0;
    std::size_t capacity_ = 0;
    Position end_ = 0;
};

enum class Next : std::uint8_t {
    kRecord,  ///< one was copied out
    kEmpty,   ///< the guest has published nothing more
    kBroken,  ///< the guest wrote what no honest library writes: see broken(); final
};

/// Reads one channel's ring. For one thread. Nothing that a guest writes makes it read or write
/// outside the ring, crash or block.
class RingConsumer {
public:
    /// `ring`: kRingBytes, mapped once. `doorbell`: an eventfd, not owned.
    RingConsumer(ChannelControl& control, const std::byte* ring, WaitPolicy policy, int doorbell)
        : control_(control), ring_(ring), policy_(policy), doorbell_(doorbell) {}
    RingConsumer(const RingConsumer&) = delete;
    RingConsumer& operator=(const RingConsumer&) = delete;

    /// Copies the next record to `into`, reusing its buffer. By calling it the worker says that the
    /// record before was issued.
    Next next(Record& into);

    /// Spins for a bounded time. True: call next().
    bool spin();

    /// Tells the guest that its next record must ring the doorbell. False: a record has come
    /// meanwhile, do not sleep. After true, poll the doorbell with whatever else, then call woke().
    bool prepare_to_sleep();
    void woke();
    /// prepare_to_sleep(), poll() on the doorbell and `others` (their revents are filled in),
    /// woke(). For at most `limit_ms` (-1: without end). True: the doorbell rang or work was there.
    bool sleep(std::span<pollfd> others, int limit_ms);

    /// Why next() said kBroken: a sentence with static storage.
    const char* broken() const { return broken_; }
    /// End of the last record that was copied out.
    Position position() const { return position_; }

private:
    static constexpr Position kPublishEvery = kRingBytes / 8;

    Next fail(const char* reason);
    void copy_out(Position from, void* to, std::size_t bytes) const;
    void publish_head();

    ChannelControl& control_;
    const std::byte* const ring_;
    const WaitPolicy policy_;
    const int doorbell_;
    Position position_ = 0;
    Position published_ = 0;
    Position tail_seen_ = 0;
    SpinBudget budget_;  ///< the limit, always: whoever rings this doorbell pays for the wake-up
    const char* broken_ = nullptr;
};

}  // namespace cubar::transport
