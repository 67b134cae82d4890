// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "transport/descriptor.h"

namespace cubar::host {

/// cubard's one thread: calls back when descriptors are ready. Not thread-safe.
class EventLoop {
public:
    using Callback = std::function<void(std::uint32_t events)>;

    /// A descriptor is watched for as long as its Watch lives. The Watch goes before the descriptor
    /// is closed, and before the loop.
    class Watch {
    public:
        Watch() = default;
        Watch(Watch&& other) noexcept;
        Watch& operator=(Watch&& other) noexcept;
        ~Watch() { reset(); }
        void reset();
        /// Changes the events that are waited for.
        void wait_for(std::uint32_t events);
        explicit operator bool() const { return loop_ != nullptr; }

    private:
        friend class EventLoop;
        Watch(EventLoop* loop, int fd, std::uint64_t id) : loop_(loop), fd_(fd), id_(id) {}
        EventLoop* loop_ = nullptr;
        int fd_ = -1;
        std::uint64_t id_ = 0;
    };

    EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Calls back with EPOLL… events, also when the callback itself ends this or another watch.
    [[nodiscard]] Watch watch(int fd, std::uint32_t events, Callback callback);

    /// Runs until stop().
    void run();
    void stop() { running_ = false; }

    /// Waits at most `limit` for events and calls back for them. For tests, and for run().
    void step(std::chrono::milliseconds limit);

private:
    transport::Descriptor epoll_;
    std::unordered_map<std::uint64_t, std::shared_ptr<Callback>> callbacks_;
    std::uint64_t next_id_ = 1;
    bool running_ = false;
};

/// Calls back some time after it was armed, once or again and again.
class Timer {
public:
    Timer(EventLoop& loop, std::function<void()> callback);
    void arm(std::chrono::milliseconds delay) { set(delay, std::chrono::milliseconds{0}); }
    void repeat(std::chrono::milliseconds interval) { set(interval, interval); }
    void disarm() { arm(std::chrono::milliseconds{0}); }

private:
    void set(std::chrono::milliseconds first, std::chrono::milliseconds interval);

    transport::Descriptor descriptor_;
    EventLoop::Watch watch_;
};

}  // namespace cubar::host
