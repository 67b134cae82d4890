// SPDX-License-Identifier: Apache-2.0
#include "transport/lock.h"

#include "transport/futex.h"

namespace cubar::transport {

void ShortLock::lock_slowly() {
    // A holder leaves within some hundred nanoseconds, unless it was preempted or sleeps for space.
    constexpr int kSpins = 100;
    for (int spin = 0; spin < kSpins; ++spin) {
        __builtin_ia32_pause();
        std::uint32_t free = kFree;
        if (state_.load(std::memory_order_relaxed) == kFree &&
            state_.compare_exchange_weak(free, kHeld, std::memory_order_acquire)) {
            return;
        }
    }
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
        futex_wait(state_, kContended, ~std::uint64_t{0}, FutexScope::kPrivate);
    }
}

void ShortLock::wake_one() {
    futex_wake(state_, 1, FutexScope::kPrivate);
}

}  // namespace cubar::transport
