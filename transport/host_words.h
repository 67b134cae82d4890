// SPDX-License-Identifier: Apache-2.0
// The words of the shared memory that the host writes, each kind by its one writer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/wait.h"

namespace cubar::transport {

/// A guest's claim as cubard read it, once. Every value is the guest's word and may be any.
struct ClaimSeen {
    std::uint64_t number = 0;
    ClaimRequest request = ClaimRequest::kNone;
    std::uint32_t protocol_version = 0;
    std::array<std::uint64_t, 2> boot_id{};
    std::uint64_t arena_address = 0;
    std::uint32_t pid = 0;
};

/// Tells those who wait for cubard that it lives: while a claim waits for its worker, or a release
/// for its worker's end. Answers beat by themselves.
void beat(Header& header);

/// The session words of one channel. cubard's; the worker only calls ready() and fail_to_start().
class SessionWords {
public:
    SessionWords(Header& header, cubar::Channel& channel, unsigned number)
        : header_(header), channel_(channel), number_(number) {}

    /// True if the guest asks something that was not answered yet, and then what.
    bool pending(ClaimSeen& claim) const;

    /// Clears the host's words of the channel (head, fences, errors) for a new session, and says
    /// kAccepted. The caller has checked the claim; the worker may be started before or after.
    void accept(const ClaimSeen& claim, std::uint64_t session_id);
    /// The worker reads the ring from now on.
    void ready();
    /// The worker of an accepted claim cannot start: kRefused.
    void fail_to_start(SessionError error);
    /// kRefused, as cubard's answer.
    void refuse(const ClaimSeen& claim, SessionError error);
    /// The session ended by itself: kDead. The guest is to release the channel.
    void dead(SessionError error);
    /// A release was seen; the worker is being taken down.
    void releasing(const ClaimSeen& claim);
    /// The worker and its last DMA are gone: anybody may claim.
    void free(const ClaimSeen& claim);

    SessionState state() const;

private:
    void store(SessionState state, SessionError error);
    void answer(const ClaimSeen& claim);
    void mark_claimed(bool claimed);

    Header& header_;
    cubar::Channel& channel_;
    unsigned number_;
};

/// Writes answers. Any thread of the worker, each slot by one at a time.
class ReplyWriter {
public:
    ReplyWriter(cubar::Channel& channel, WaitPolicy policy) : channel_(channel), policy_(policy) {}

    /// Stores the answer of the record that ends at `position` and named `slot`, and wakes the
    /// guest thread that sleeps for it (on the same kernel; a VM looks by itself). kTooLarge:
    /// `body` exceeds kLongReplyBytes; kProtocolBroken: there is no such slot. kNoReply is not an
    /// error: nothing is stored.
    Error write(std::uint32_t slot, std::uint32_t result, Position position,
                std::span<const std::byte> body);

private:
    cubar::Channel& channel_;
    const WaitPolicy policy_;
};

/// The channel's fences, where the host writes them in the GPU's place, and their addresses for
/// the GPU.
class FenceWriter {
public:
    explicit FenceWriter(cubar::Channel& channel) : channel_(channel) {}
    /// A fence only rises: an older position changes nothing. One writer for each fence.
    void write(std::uint32_t fence, Position position);
    Shared<std::uint64_t>* address(std::uint32_t fence) { return &channel_.fence[fence]; }

private:
    cubar::Channel& channel_;
};

/// The first deferred error of a session. Not thread-safe: the caller serialises set() and clear().
class ErrorWord {
public:
    explicit ErrorWord(ChannelControl& control) : control_(control) {}
    /// Keeps the first; later ones change nothing until clear(). False: there was one.
    bool set(std::uint32_t result, Position position, std::uint64_t context);
    void clear();
    std::uint32_t get() const { return control_.error_code.load(std::memory_order_relaxed); }
    std::uint64_t context() const { return control_.error_context.load(std::memory_order_relaxed); }

private:
    ChannelControl& control_;
};

/// The heartbeat. A thread of its own calls beat() every kHeartbeatMs while the worker starts, or
/// while it executes anything or owes an answer; never while it sleeps.
class Heartbeat {
public:
    explicit Heartbeat(ChannelControl& control) : control_(control) {}
    void beat() {
        control_.heartbeat.store(control_.heartbeat.load(std::memory_order_relaxed) + 1,
                                 std::memory_order_release);
    }

private:
    ChannelControl& control_;
};

}  // namespace cubar::transport
