// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "cubar/layout.h"
#include "transport/host_words.h"

namespace cubar::host {

/// Moves the heartbeat every kHeartbeatMs while the worker starts, executes or waits for the GPU,
/// so that a guest can tell a long call from a dead host. It is the process's life, not the
/// executor's: a call that hangs in the driver keeps beating. Sleeps without a tick while nothing
/// goes on.
class Pulse {
public:
    /// `others` says whether something goes on besides what active() and idle() tell. It is called
    /// by the pulse's own thread, once per beat.
    Pulse(ChannelControl& control, std::function<bool()> others);
    Pulse(const Pulse&) = delete;
    Pulse& operator=(const Pulse&) = delete;
    ~Pulse();

    /// Executor: something goes on from now on.
    void active();
    /// Executor: it has nothing to do. What `others` reports goes on.
    void idle() { active_.store(false, std::memory_order_relaxed); }

private:
    void run();
    bool goes_on() { return active_.load() || others_(); }

    transport::Heartbeat heartbeat_;
    std::function<bool()> others_;
    std::atomic<bool> active_{true};
    std::atomic<bool> parked_{false};
    bool stopping_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread thread_;
};

}  // namespace cubar::host
