// SPDX-License-Identifier: Apache-2.0
// The guest's end of a channel's reply slots.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/lock.h"
#include "transport/wait.h"

namespace cubar::transport {

/// What came back for a call.
struct Answer {
    Error error;           ///< of the way there and back; then the rest means nothing
    std::uint32_t result;  ///< CUresult of the call
    std::uint32_t bytes;   ///< of the reply's body that were copied out
    Position position;     ///< end of the record that this answers
};

/// Shares the slots among the threads of this process and waits for their answers.
class ReplySlots {
public:
    ReplySlots(ReplySlot* slots, const std::byte* long_replies, const WaitContext& wait)
        : slots_(slots), long_replies_(long_replies), wait_(wait) {}
    ReplySlots(const ReplySlots&) = delete;
    ReplySlots& operator=(const ReplySlots&) = delete;

    /// A slot taken for one call, made ready for its answer (kPending).
    class Slot {
    public:
        Slot() = default;
        Slot(ReplySlots& owner, std::uint32_t index) : owner_(&owner), index_(index) {}
        Slot(Slot&& other) noexcept
            : owner_(std::exchange(other.owner_, nullptr)), index_(other.index_) {}
        Slot& operator=(Slot&&) = delete;
        ~Slot() {
            if (owner_ != nullptr) {
                owner_->give_back(index_);
            }
        }
        explicit operator bool() const { return owner_ != nullptr; }
        std::uint32_t index() const { return index_; }

        /// Waits for the answer and copies its body to `body`. A body that does not fit is
        /// kProtocolBroken. After kTimedOut or a lost host the slot stays out of use, for the
        /// answer may still come. Once.
        Answer wait(std::span<std::byte> body, Nanoseconds deadline = kNever);

        /// Gives the slot back although no answer is to come: its record was never sent.
        void cancel();

    private:
        ReplySlots* owner_ = nullptr;
        std::uint32_t index_ = 0;
    };

    /// Takes a slot; waits while all are in use. An empty Slot: the session is over.
    Slot take();

private:
    void give_back(std::uint32_t index);
    Answer read(std::uint32_t index, std::span<std::byte> body) const;

    ReplySlot* const slots_;
    const std::byte* const long_replies_;
    const WaitContext& wait_;

    std::atomic<std::uint64_t> in_use_{0};
    std::atomic<std::uint32_t> returned_{0};  ///< futex of those who wait for a slot
    std::atomic<std::uint32_t> waiting_{0};
};
static_assert(kReplySlots == 64);

}  // namespace cubar::transport
