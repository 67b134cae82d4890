// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/event_loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace cubar::host {

EventLoop::Watch::Watch(Watch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), fd_(other.fd_), id_(other.id_) {}

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
    if (this != &other) {
        reset();
        loop_ = std::exchange(other.loop_, nullptr);
        fd_ = other.fd_;
        id_ = other.id_;
    }
    return *this;
}

void EventLoop::Watch::reset() {
    if (loop_ != nullptr) {
        ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
        loop_->callbacks_.erase(id_);
        loop_ = nullptr;
    }
}

void EventLoop::Watch::wait_for(std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id_;
    ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
}

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
    }
}

EventLoop::Watch EventLoop::watch(int fd, std::uint32_t events, Callback callback) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = next_id_;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
    callbacks_.emplace(next_id_, std::make_shared<Callback>(std::move(callback)));
    return {this, fd, next_id_++};
}

void EventLoop::run() {
    running_ = true;
    while (running_) {
        step(std::chrono::milliseconds{-1});
    }
}

void EventLoop::step(std::chrono::milliseconds limit) {
    epoll_event events[32];
    const int count = ::epoll_wait(epoll_.get(), events, 32, static_cast<int>(limit.count()));
    if (count < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "epoll_wait");
    }
    for (int i = 0; i < count; ++i) {
        const auto found = callbacks_.find(events[i].data.u64);
        if (found == callbacks_.end()) {
            continue;  // ended by an earlier callback of this round
        }
        const std::shared_ptr<Callback> callback = found->second;  // may end itself
        (*callback)(events[i].events);
    }
}

Timer::Timer(EventLoop& loop, std::function<void()> callback)
    : descriptor_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (!descriptor_) {
        throw std::system_error(errno, std::generic_category(), "timerfd_create");
    }
    watch_ = loop.watch(descriptor_.get(), EPOLLIN,
                        [fd = descriptor_.get(), callback = std::move(callback)](std::uint32_t) {
                            std::uint64_t expirations = 0;
                            if (::read(fd, &expirations, sizeof expirations) > 0) {
                                callback();
                            }
                        });
}

void Timer::set(std::chrono::milliseconds first, std::chrono::milliseconds interval) {
    const auto convert = [](std::chrono::milliseconds time) {
        return timespec{static_cast<time_t>(time.count() / 1000),
                        static_cast<long>(time.count() % 1000) * 1'000'000};
    };
    const itimerspec when{convert(interval), convert(first)};
    ::timerfd_settime(descriptor_.get(), 0, &when, nullptr);
}

}  // namespace cubar::host
