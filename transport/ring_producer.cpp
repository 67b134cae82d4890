// SPDX-License-Identifier: Apache-2.0
#include "transport/ring_producer.h"

#include "transport/futex.h"

namespace cubar::transport {

bool RingProducer::has_space(std::uint32_t bytes) {
    // Pairs with ring consumer's release of head: what it frees it has read.
    head_seen_ = control_.head.load(std::memory_order_acquire);
    return tail_ + bytes - head_seen_ <= kRingBytes;
}

Error RingProducer::wait_for_space(std::uint32_t bytes) {
    while (!has_space(bytes)) {
        const Position enough = tail_ + bytes - kRingBytes;
        lock_.unlock();
        {
            // One sleeps on head, the others on this lock.
            ShortGuard guard(space_lock_);
            const auto reached = [&] {
                return static_cast<std::int64_t>(control_.head.load(std::memory_order_acquire) -
                                                 enough) >= 0;
            };
            const Error error = wait_until(wait_, kNever, reached, [&](Nanoseconds limit) {
                control_.guest_waits_for_space.store(1, std::memory_order_relaxed);
                full_barrier<Barrier::kWaitsForSpaceBeforeHead>(wait_.memory);
                const Position head = control_.head.load(std::memory_order_acquire);
                if (static_cast<std::int64_t>(head - enough) < 0) {
                    futex_wait(low_half(control_.head), static_cast<std::uint32_t>(head), limit,
                               FutexScope::kShared);
                }
                control_.guest_waits_for_space.store(0, std::memory_order_relaxed);
            });
            if (error != Error::kNone) {
                return error;
            }
        }
        lock_.lock();
    }
    return Error::kNone;
}

}  // namespace cubar::transport
