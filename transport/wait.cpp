// SPDX-License-Identifier: Apache-2.0
#include "transport/wait.h"

#include <sched.h>
#include <time.h>

#include <cerrno>

namespace cubar::transport {

Nanoseconds now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<Nanoseconds>(time.tv_sec) * 1'000'000'000 +
           static_cast<Nanoseconds>(time.tv_nsec);
}

std::uint32_t this_cpu() {
    const int cpu = sched_getcpu();
    return cpu < 0 ? 0 : static_cast<std::uint32_t>(cpu) + 1;
}

const Shared<std::uint32_t>& low_half(const Shared<std::uint64_t>& word) {
    return reinterpret_cast<const Shared<std::uint32_t>&>(word);
}

void sleep_for(Nanoseconds interval) {
    const int saved = errno;
    const timespec time{static_cast<time_t>(interval / 1'000'000'000),
                        static_cast<long>(interval % 1'000'000'000)};
    nanosleep(&time, nullptr);
    errno = saved;
}

bool Spin::worth_it() {
    if (policy_ == WaitPolicy::kLocal) {
        const std::uint32_t peer = peer_cpu_.load(std::memory_order_relaxed);
        if (peer != 0 && peer == this_cpu()) {
            return false;
        }
    }
    const Nanoseconds time = now();
    if (since_ == 0) {
        since_ = time;
    }
    const Nanoseconds limit = policy_ == WaitPolicy::kLocal ? kSpinLimit : budget_.get();
    return time - since_ < limit;
}

Error Liveness::session() const {
    const auto state =
        static_cast<SessionState>(control_->session_state.load(std::memory_order_acquire));
    const bool live = (state == SessionState::kReady || state == SessionState::kAccepted) &&
                      header_->epoch.load(std::memory_order_acquire) == epoch_;
    return live ? Error::kNone : Error::kSessionDead;
}

Error Liveness::check(Watch& watch, Nanoseconds time) const {
    if (const Error error = session(); error != Error::kNone) {
        return error;
    }
    // Once the session is there, cubard's beat speaks of other channels.
    const bool begins =
        static_cast<SessionState>(control_->session_state.load(std::memory_order_relaxed)) ==
        SessionState::kAccepted;
    const std::uint64_t beat = control_->heartbeat.load(std::memory_order_acquire) +
                               (begins ? header_->host_beat.load(std::memory_order_acquire) : 0);
    return watch.stands(beat, time) ? Error::kHostSilent : Error::kNone;
}

bool Liveness::Watch::stands(std::uint64_t number, Nanoseconds time, std::uint32_t limit_ms) {
    if (looked == 0 || number != beat) {
        *this = {number, time, 0};
        return false;
    }
    const Nanoseconds limit = limit_ms * kMillisecond;
    silent += std::min(time - looked, limit / 4);
    looked = time;
    return silent >= limit;
}

}  // namespace cubar::transport
