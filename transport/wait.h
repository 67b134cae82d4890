// SPDX-License-Identifier: Apache-2.0
// Waiting for a word that the other side writes: spin for a bounded time, then sleep. Nobody spins
// without end, and nothing ticks while nothing is awaited.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cubar/layout.h"
#include "transport/device.h"
#include "transport/ordering.h"
#include "transport/result.h"

namespace cubar::transport {

using Nanoseconds = std::uint64_t;

inline constexpr Nanoseconds kNever = ~Nanoseconds{0};
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSpinLimit = 50'000;
inline constexpr Nanoseconds kSpinFloor = 3'000;

/// CLOCK_MONOTONIC.
Nanoseconds now();
/// This CPU's number + 1, as the *_cpu words of the channel have it; 0 if unknown.
std::uint32_t this_cpu();

/// The half of a 64-bit word that changes with every step: what a futex can look at.
const Shared<std::uint32_t>& low_half(const Shared<std::uint64_t>& word);

/// How long the next wait is to spin across a VM, by those before; shared by the waits of one
/// direction.
///
/// Spins in vain shorten the next. That alone would be a trap: who does not spin sleeps longer than
/// the wait takes, so the host goes to sleep as well, every record then has to wake it, and no spin
/// that is left covers that. So every sixteenth spin in vain is followed by one that is long enough
/// to wake the host, and the first wait that spinning covers restores the limit. Waits of a
/// millisecond and more, such as those for a whole graph, do not count: a spin in front of one
/// costs little, and says nothing of the short ones.
class SpinBudget {
public:
    Nanoseconds get() const {
        const std::uint32_t vain = vain_.load(std::memory_order_relaxed);
        if (vain % kRetrial == kRetrial - 1) {
            return kRetrialSpin;
        }
        return std::max(kSpinFloor, kSpinLimit >> std::min<std::uint32_t>(vain, kRetrial));
    }
    /// A spin covered the wait.
    void covered() { vain_.store(0, std::memory_order_relaxed); }
    /// It did not: what was awaited came, and was seen, after `waited`.
    void in_vain(Nanoseconds waited) {
        if (waited < kLongWait) {
            vain_.fetch_add(1, std::memory_order_relaxed);
        }
    }

private:
    static constexpr std::uint32_t kRetrial = 16;
    static constexpr Nanoseconds kRetrialSpin = 4 * kSpinLimit;
    static constexpr Nanoseconds kLongWait = kMillisecond;

    std::atomic<std::uint32_t> vain_{0};
};

/// The interval of the next sleep where nobody can wake us: an eighth of what was waited so far,
/// so that sleeping adds at most that to any wait.
inline Nanoseconds growing_sleep(Nanoseconds waited) {
    return std::clamp<Nanoseconds>(waited / 8, 20'000, 5 * kMillisecond);
}
void sleep_for(Nanoseconds interval);

/// Across a VM, when a long wait may end, by those before; shared by the waits of one direction.
///
/// A model's tokens take the same time again and again, so a wait often ends when an earlier one
/// ended. Around that time nobody sleeps: an eighth too late would be a millisecond of a token of
/// 8 ms. Waits of two lengths are remembered, such as those for a prompt and for a token. A wrong
/// forecast makes nobody wait longer than without one, for sleeps become only shorter by it.
class Forecast {
public:
    /// The next sleep after so long a wait. 0: look on without sleeping.
    Nanoseconds sleep(Nanoseconds waited) const {
        Nanoseconds interval = growing_sleep(waited);
        for (const auto& length : lengths_) {
            const Nanoseconds usual = length.load(std::memory_order_relaxed);
            if (near(usual, waited)) {
                return 0;
            }
            if (waited < begin(usual)) {
                interval = std::min(interval, begin(usual) - waited);
            }
        }
        return interval;
    }

    /// What was awaited came, and was seen, after `waited`.
    void took(Nanoseconds waited) {
        if (waited < kShortest) {
            return;
        }
        const Nanoseconds last = lengths_[0].load(std::memory_order_relaxed);
        lengths_[0].store(waited, std::memory_order_relaxed);
        if (!near(last, waited)) {
            lengths_[1].store(last, std::memory_order_relaxed);
        }
    }

private:
    // What a sleep takes beyond its interval: the timer's slack, 50 us unless a thread sets its
    // own, and waking up.
    static constexpr Nanoseconds kOversleep = 70'000;

    // A sleep would be late by a good part of any such wait.
    static constexpr Nanoseconds kShortest = 200'000;

    // As far as a growing sleep may have gone too far when the length was learned.
    static Nanoseconds margin(Nanoseconds usual) {
        return std::min(usual / 8, 5 * kMillisecond) + kOversleep;
    }
    static Nanoseconds begin(Nanoseconds usual) { return usual - std::min(usual, margin(usual)); }
    static bool near(Nanoseconds usual, Nanoseconds waited) {
        return waited >= begin(usual) && waited < usual + margin(usual) && usual != 0;
    }

    std::atomic<Nanoseconds> lengths_[2] = {};  ///< the last one first; 0: none
};

/// One bounded spin. By the policies that won (docs/protocol.md): on one kernel, not at all while
/// the peer was last seen on this very CPU; across a VM, for as long as it was worth it lately.
class Spin {
public:
    Spin(WaitPolicy policy, const SpinBudget& budget, const Shared<std::uint32_t>& peer_cpu)
        : policy_(policy), budget_(budget), peer_cpu_(peer_cpu) {}

    /// Pauses. False: it has been long enough, sleep.
    bool again() {
        pause_cpu();
        return (++looks_ & (kLooksPerClock - 1)) != 0 && looks_ != 1 ? true : worth_it();
    }

private:
    static constexpr std::uint32_t kLooksPerClock = 32;
    bool worth_it();

    WaitPolicy policy_;
    const SpinBudget& budget_;
    const Shared<std::uint32_t>& peer_cpu_;
    std::uint32_t looks_ = 0;
    Nanoseconds since_ = 0;
};

/// Tells a long operation from a dead host. One per channel; thread-safe.
class Liveness {
public:
    Liveness(const Header& header, const ChannelControl& control, std::uint64_t epoch)
        : header_(&header), control_(&control), epoch_(epoch) {}

    /// One wait's view of a beat.
    struct Watch {
        std::uint64_t beat = 0;
        Nanoseconds looked = 0;
        Nanoseconds silent = 0;

        /// True if the beat has stood at this number for `limit_ms`. Time during which this process
        /// did not look counts little: a VM that was paused must not take its host for dead.
        bool stands(std::uint64_t number, Nanoseconds time, std::uint32_t limit_ms = kSilenceMs);
    };

    /// kNone, kSessionDead, or kHostSilent after kSilenceMs in which neither the worker's heartbeat
    /// nor, while the session begins, cubard's moved.
    Error check(Watch& watch, Nanoseconds time) const;

    /// kNone or kSessionDead, from the session words alone.
    Error session() const;

private:
    const Header* header_;
    const ChannelControl* control_;
    std::uint64_t epoch_;
};

/// What the waits of one guest channel share.
struct WaitContext {
    WaitPolicy policy;
    MemoryType memory;
    SpinBudget& budget;
    Forecast& forecast;
    const Shared<std::uint32_t>& peer_cpu;  ///< written by the other side
    Shared<std::uint32_t>& own_cpu;         ///< written by this one
    const Liveness& liveness;

    void publish_cpu() const {
        const std::uint32_t cpu = this_cpu();
        if (policy == WaitPolicy::kLocal && own_cpu.load(std::memory_order_relaxed) != cpu) {
            own_cpu.store(cpu, std::memory_order_relaxed);
        }
    }
};

/// A few looks without the clock.
template <typename Ready>
void look(Ready&& ready) {
    for (unsigned looks = 0; looks < 32 && !ready(); ++looks) {
        pause_cpu();
    }
}

/// Waits until ready() is true. `sleep(limit)` announces the sleeper, looks once more and sleeps;
/// it is called only where somebody can wake us. Ends with kTimedOut at `deadline`, or with the
/// error of Liveness.
template <typename Ready, typename Sleep>
Error wait_until(const WaitContext& context, Nanoseconds deadline, Ready&& ready, Sleep&& sleep) {
    if (ready()) {
        return Error::kNone;
    }
    context.publish_cpu();
    Spin spin(context.policy, context.budget, context.peer_cpu);
    while (spin.again()) {
        if (ready()) {
            context.budget.covered();
            return Error::kNone;
        }
    }
    const Nanoseconds start = now();
    Nanoseconds time = start;
    Liveness::Watch watch;
    for (;;) {
        if (ready()) {
            context.budget.in_vain(time - start);
            context.forecast.took(time - start);
            return Error::kNone;
        }
        if (const Error error = context.liveness.check(watch, time); error != Error::kNone) {
            return ready() ? Error::kNone : error;
        }
        if (time >= deadline) {
            return Error::kTimedOut;
        }
        const Nanoseconds left = deadline - time;
        if (context.policy == WaitPolicy::kLocal) {
            sleep(std::min<Nanoseconds>(left, kHeartbeatMs * kMillisecond));
        } else if (const Nanoseconds interval = context.forecast.sleep(time - start);
                   interval != 0) {
            sleep_for(std::min(left, interval));
        } else {
            look(ready);
        }
        time = now();
    }
}

}  // namespace cubar::transport
