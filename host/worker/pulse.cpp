// SPDX-License-Identifier: Apache-2.0
#include "host/worker/pulse.h"

#include <chrono>
#include <utility>

namespace cubar::host {

Pulse::Pulse(ChannelControl& control, std::function<bool()> others)
    : heartbeat_(control), others_(std::move(others)), thread_([this] { run(); }) {}

Pulse::~Pulse() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void Pulse::active() {
    // Store, then load, against run()'s store of parked_ and load of active_: one of the two sees
    // the other, so the thread never parks while something goes on.
    active_.store(true, std::memory_order_seq_cst);
    if (!parked_.load(std::memory_order_seq_cst)) return;
    {
        const std::lock_guard lock(mutex_);
        parked_.store(false, std::memory_order_relaxed);
    }
    changed_.notify_one();
}

void Pulse::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        lock.unlock();
        parked_.store(true, std::memory_order_seq_cst);
        const bool beats = goes_on();
        if (beats) heartbeat_.beat();
        lock.lock();
        if (beats) {
            parked_.store(false, std::memory_order_relaxed);
            changed_.wait_for(lock, std::chrono::milliseconds(kHeartbeatMs),
                              [this] { return stopping_; });
        } else {
            changed_.wait(lock,
                          [this] { return stopping_ || !parked_.load(std::memory_order_relaxed); });
        }
    }
}

}  // namespace cubar::host
