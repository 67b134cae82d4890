// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace cubar::transport {

/// A mutex for sections of some dozen instructions: two locked instructions when nobody contends, a
/// bounded spin and then a futex when somebody does. In private memory only. Not recursive.
class ShortLock {
public:
    ShortLock() = default;
    ShortLock(const ShortLock&) = delete;
    ShortLock& operator=(const ShortLock&) = delete;

    void lock() {
        std::uint32_t free = kFree;
        if (!state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) {
            lock_slowly();
        }
    }
    /// Also a full barrier (a locked instruction): ring producer relies on it.
    void unlock() {
        if (state_.exchange(kFree, std::memory_order_seq_cst) == kContended) {
            wake_one();
        }
    }

private:
    static constexpr std::uint32_t kFree = 0;
    static constexpr std::uint32_t kHeld = 1;
    static constexpr std::uint32_t kContended = 2;  ///< held, and somebody may sleep on it

    void lock_slowly();
    void wake_one();

    std::atomic<std::uint32_t> state_{kFree};
};

/// Holds a ShortLock for a scope.
class ShortGuard {
public:
    explicit ShortGuard(ShortLock& lock) : lock_(lock) { lock_.lock(); }
    ~ShortGuard() { lock_.unlock(); }
    ShortGuard(const ShortGuard&) = delete;
    ShortGuard& operator=(const ShortGuard&) = delete;

private:
    ShortLock& lock_;
};

}  // namespace cubar::transport
