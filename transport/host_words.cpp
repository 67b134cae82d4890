// SPDX-License-Identifier: Apache-2.0
#include "transport/host_words.h"

#include <cstring>

#include "transport/futex.h"
#include "transport/ordering.h"

namespace cubar::transport {

void beat(Header& header) {
    header.host_beat.store(header.host_beat.load(std::memory_order_relaxed) + 1,
                           std::memory_order_release);
}

bool SessionWords::pending(ClaimSeen& claim) const {
    const ChannelControl& control = channel_.control;
    // Pairs with the release store of whoever asks, which stands after the words read below.
    const std::uint64_t number = control.claim_number.load(std::memory_order_acquire);
    if (number == control.claim_answered.load(std::memory_order_relaxed)) {
        return false;
    }
    claim.number = number;
    claim.request =
        static_cast<ClaimRequest>(control.claim_request.load(std::memory_order_acquire));
    claim.protocol_version = control.protocol_version.load(std::memory_order_acquire);
    claim.boot_id = {control.boot_id[0].load(std::memory_order_acquire),
                     control.boot_id[1].load(std::memory_order_acquire)};
    claim.arena_address = control.arena_address.load(std::memory_order_acquire);
    claim.pid = control.pid.load(std::memory_order_acquire);
    // If another request overtook this one, its doorbell is still to come.
    return control.claim_number.load(std::memory_order_acquire) == number;
}

void SessionWords::store(SessionState state, SessionError error) {
    ChannelControl& control = channel_.control;
    control.session_error.store(static_cast<std::uint32_t>(error), std::memory_order_relaxed);
    // Pairs with Liveness::session() and with the claimer's look at the state.
    control.session_state.store(static_cast<std::uint32_t>(state), std::memory_order_release);
}

void SessionWords::answer(const ClaimSeen& claim) {
    channel_.control.claim_answered.store(claim.number, std::memory_order_release);
    beat(header_);
}

void SessionWords::mark_claimed(bool claimed) {
    const std::uint64_t bit = std::uint64_t{1} << number_;
    const std::uint64_t map = header_.claimed_channels.load(std::memory_order_relaxed);
    header_.claimed_channels.store(claimed ? map | bit : map & ~bit, std::memory_order_release);
}

void SessionWords::accept(const ClaimSeen& claim, std::uint64_t session_id) {
    ChannelControl& control = channel_.control;
    constexpr auto kRelaxed = std::memory_order_relaxed;
    control.head.store(0, kRelaxed);
    control.worker_sleeping.store(0, kRelaxed);
    control.worker_cpu.store(0, kRelaxed);
    control.error_code.store(0, kRelaxed);
    control.error_position.store(0, kRelaxed);
    control.error_context.store(0, kRelaxed);
    for (Shared<std::uint64_t>& fence : channel_.fence) {
        fence.store(0, kRelaxed);
    }
    control.session_id.store(session_id, kRelaxed);
    control.session_epoch.store(header_.epoch.load(kRelaxed), kRelaxed);
    mark_claimed(true);
    store(SessionState::kAccepted, SessionError::kNone);
    answer(claim);
}

void SessionWords::ready() {
    store(SessionState::kReady, SessionError::kNone);
}

void SessionWords::fail_to_start(SessionError error) {
    store(SessionState::kRefused, error);
}

void SessionWords::refuse(const ClaimSeen& claim, SessionError error) {
    mark_claimed(true);
    channel_.control.session_epoch.store(header_.epoch.load(std::memory_order_relaxed),
                                         std::memory_order_relaxed);
    store(SessionState::kRefused, error);
    answer(claim);
}

void SessionWords::dead(SessionError error) {
    store(SessionState::kDead, error);
}

void SessionWords::releasing(const ClaimSeen& claim) {
    store(SessionState::kReleasing, SessionError::kNone);
    answer(claim);
}

void SessionWords::free(const ClaimSeen& claim) {
    mark_claimed(false);
    store(SessionState::kFree, SessionError::kNone);
    answer(claim);
}

SessionState SessionWords::state() const {
    return static_cast<SessionState>(
        channel_.control.session_state.load(std::memory_order_acquire));
}

Error ReplyWriter::write(std::uint32_t slot, std::uint32_t result, Position position,
                         std::span<const std::byte> body) {
    if (slot == kNoReply) {
        return Error::kNone;
    }
    if (slot >= kReplySlots) {
        return Error::kProtocolBroken;
    }
    if (body.size() > kLongReplyBytes) {
        return Error::kTooLarge;
    }
    ReplySlot& reply = channel_.reply[slot];
    reply.result = result;
    reply.bytes = static_cast<std::uint32_t>(body.size());
    reply.position = position;
    if (!body.empty()) {
        std::byte* const to =
            body.size() <= kInlineReplyBytes ? reply.body : channel_.long_reply[slot];
        std::memcpy(to, body.data(), body.size());
    }
    store_released<Barrier::kAnswerBeforeState>(
        reply.state, static_cast<std::uint32_t>(SlotState::kDone), MemoryType::kWriteBack);
    if (policy_ == WaitPolicy::kLocal) {
        full_barrier<Barrier::kStateBeforeReplyWait>(MemoryType::kWriteBack);
        if (reply.sleeping.load(std::memory_order_relaxed) != 0) {
            futex_wake(reply.state, 1, FutexScope::kShared);
        }
    }
    return Error::kNone;
}

void FenceWriter::write(std::uint32_t fence, Position position) {
    if (fence < kFences && channel_.fence[fence].load(std::memory_order_relaxed) < position) {
        store_released<Barrier::kBulkBeforeFence>(channel_.fence[fence], position,
                                                  MemoryType::kWriteBack);
    }
}

bool ErrorWord::set(std::uint32_t result, Position position, std::uint64_t context) {
    if (get() != 0) {
        return false;
    }
    control_.error_context.store(context, std::memory_order_relaxed);
    control_.error_position.store(position, std::memory_order_relaxed);
    // Pairs with Channel::deferred_error().
    control_.error_code.store(result, std::memory_order_release);
    return true;
}

void ErrorWord::clear() {
    control_.error_code.store(0, std::memory_order_release);
}

}  // namespace cubar::transport
