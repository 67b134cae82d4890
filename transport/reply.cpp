// SPDX-License-Identifier: Apache-2.0
#include "transport/reply.h"

#include <bit>
#include <cstring>

#include "transport/bulk_copy.h"
#include "transport/futex.h"

namespace cubar::transport {

ReplySlots::Slot ReplySlots::take() {
    Liveness::Watch watch;
    for (;;) {
        const std::uint32_t returned = returned_.load(std::memory_order_acquire);
        std::uint64_t in_use = in_use_.load(std::memory_order_relaxed);
        while (~in_use != 0) {
            const auto index = static_cast<std::uint32_t>(std::countr_one(in_use));
            if (in_use_.compare_exchange_weak(in_use, in_use | std::uint64_t{1} << index,
                                              std::memory_order_acquire)) {
                ReplySlot& slot = slots_[index];
                slot.sleeping.store(0, std::memory_order_relaxed);
                slot.state.store(static_cast<std::uint32_t>(SlotState::kPending),
                                 std::memory_order_relaxed);
                return Slot(*this, index);
            }
        }
        // All 64 are owed an answer: rare, so this waiter looks at the host's pulse itself.
        if (wait_.liveness.check(watch, now()) != Error::kNone) {
            return Slot();
        }
        waiting_.fetch_add(1, std::memory_order_seq_cst);
        futex_wait(returned_, returned, kHeartbeatMs * kMillisecond, FutexScope::kPrivate);
        waiting_.fetch_sub(1, std::memory_order_seq_cst);
    }
}

void ReplySlots::give_back(std::uint32_t index) {
    in_use_.fetch_and(~(std::uint64_t{1} << index), std::memory_order_release);
    returned_.fetch_add(1, std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) != 0) {
        futex_wake(returned_, 1, FutexScope::kPrivate);
    }
}

void ReplySlots::Slot::cancel() {
    if (owner_ != nullptr) {
        owner_->slots_[index_].state.store(static_cast<std::uint32_t>(SlotState::kIdle),
                                           std::memory_order_relaxed);
        std::exchange(owner_, nullptr)->give_back(index_);
    }
}

Answer ReplySlots::Slot::wait(std::span<std::byte> body, Nanoseconds deadline) {
    ReplySlots& owner = *owner_;
    ReplySlot& slot = owner.slots_[index_];
    constexpr auto kPending = static_cast<std::uint32_t>(SlotState::kPending);
    const auto answered = [&] {
        return load_acquired<Barrier::kStateBeforeAnswer>(slot.state) != kPending;
    };
    const Error error = wait_until(owner.wait_, deadline, answered, [&](Nanoseconds limit) {
        slot.sleeping.store(1, std::memory_order_relaxed);
        full_barrier<Barrier::kReplyWaitBeforeState>(owner.wait_.memory);
        if (!answered()) {
            futex_wait(slot.state, kPending, limit, FutexScope::kShared);
        }
        slot.sleeping.store(0, std::memory_order_relaxed);
    });
    if (error != Error::kNone) {
        owner_ = nullptr;
        return {error, 0, 0, 0};
    }
    const Answer answer = owner.read(index_, body);
    slot.state.store(static_cast<std::uint32_t>(SlotState::kIdle), std::memory_order_relaxed);
    std::exchange(owner_, nullptr)->give_back(index_);
    return answer;
}

Answer ReplySlots::read(std::uint32_t index, std::span<std::byte> body) const {
    const ReplySlot& slot = slots_[index];
    const Answer answer{Error::kNone, slot.result, slot.bytes, slot.position};
    if (answer.bytes > body.size() || answer.bytes > kLongReplyBytes) {
        return {Error::kProtocolBroken, 0, 0, 0};
    }
    if (answer.bytes > kInlineReplyBytes) {
        bulk_read(body.data(), long_replies_ + index * kLongReplyBytes, answer.bytes, wait_.memory);
    } else if (answer.bytes != 0) {
        std::memcpy(body.data(), slot.body, answer.bytes);
    }
    return answer;
}

}  // namespace cubar::transport
