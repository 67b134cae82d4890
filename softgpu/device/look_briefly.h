// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace cubar::softgpu::device {

/// One more thread that looks; the destructor ends it.
class Looker {
public:
    Looker() : allowed_(looking().fetch_add(1, std::memory_order_relaxed) < most()) {}
    ~Looker() { looking().fetch_sub(1, std::memory_order_relaxed); }
    Looker(const Looker&) = delete;
    Looker& operator=(const Looker&) = delete;

    /// False when so many look already that no processor would be left for what they wait for.
    [[nodiscard]] bool allowed() const { return allowed_; }

private:
    static std::atomic<unsigned>& looking() {
        static std::atomic<unsigned> count{0};
        return count;
    }
    static unsigned most() {
        static const unsigned processors = std::thread::hardware_concurrency();
        return processors > 1 ? processors - 1 : 0;
    }

    const bool allowed_;
};

/// Looks whether `ready` for about as long as it takes to put a thread to sleep and wake it, so
/// that what comes soon costs neither. Makes way for any thread that wants the processor. Returns
/// what `ready` said last.
template <class Ready>
bool look_briefly(Ready ready) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::microseconds kBrief{20};
    constexpr int kLooks = 32;  // from one look at the clock to the next
    if (ready()) return true;
    const Looker looker;
    if (!looker.allowed()) return false;
    const auto until = Clock::now() + kBrief;
    do {
        for (int look = 0; look < kLooks; ++look) {
            if (ready()) return true;
            __builtin_ia32_pause();
        }
        std::this_thread::yield();
    } while (Clock::now() < until);
    return ready();
}

}  // namespace cubar::softgpu::device
