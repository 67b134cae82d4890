// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/stream.h"

#include <thread>

#include "softgpu/device/look_briefly.h"

namespace cubar::softgpu::device {

bool Point::done() const {
    return stream_ == nullptr || stream_->reached(sequence_);
}

void Point::wait() const {
    if (!done()) stream_->wait_for(sequence_, true);
}

void Point::wait_idly() const {
    if (!done()) stream_->wait_for(sequence_, false);
}

StreamAttributes Stream::attributes() const {
    const std::lock_guard lock(mutex_);
    return attributes_;
}

void Stream::set_attribute(CUstreamAttrID attribute, const CUstreamAttrValue& value) {
    const std::lock_guard lock(mutex_);
    attributes_.set(attribute, value);
}

void Stream::set_attributes(const StreamAttributes& attributes) {
    const std::lock_guard lock(mutex_);
    attributes_ = attributes;
}

void Stream::await_space() {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] {
        return issued_ - completed_.load(std::memory_order_relaxed) < setup_.capacity;
    });
}

Point Stream::append(TaskPtr task, std::vector<Point> after) {
    std::lock_guard lock(mutex_);
    queue_.push_back({std::move(task), std::move(after)});
    ++issued_;
    if (!thread_started_) {
        // The thread's reference keeps the stream alive until the queue is empty. It is detached:
        // the driver has no moment at which it could join it in a process that simply exits.
        std::thread([self = shared_from_this()] { self->work(); }).detach();
        thread_started_ = true;
    }
    called_.store(true, std::memory_order_release);
    work_.notify_one();
    return {shared_from_this(), issued_};
}

bool Stream::try_claim() {
    std::lock_guard lock(mutex_);
    if (busy_ || !queue_.empty()) return false;
    busy_ = true;
    ++issued_;
    return true;
}

void Stream::run_claimed(Task& task) {
    perform(task);
    complete();
}

Point Stream::last() {
    std::lock_guard lock(mutex_);
    return {shared_from_this(), issued_};
}

bool Stream::idle() const {
    std::lock_guard lock(mutex_);
    return completed_.load(std::memory_order_relaxed) == issued_;
}

bool Stream::finished() const {
    std::lock_guard lock(mutex_);
    return closed_ && completed_.load(std::memory_order_relaxed) == issued_;
}

void Stream::close(bool abandon) {
    std::lock_guard lock(mutex_);
    closed_ = true;
    if (abandon) abandoned_.store(true, std::memory_order_relaxed);
    called_.store(true, std::memory_order_release);
    work_.notify_all();
}

bool Stream::abandoned() const {
    return abandoned_.load(std::memory_order_relaxed) || setup_.fault->faulted();
}

void Stream::wait_for(std::uint64_t sequence, bool help) {
    std::unique_lock lock(mutex_);
    while (!reached(sequence)) {
        if (help && !busy_ && !queue_.empty() && queue_.front().task->may_move()) {
            perform_first(lock);
            continue;
        }
        lock.unlock();
        const bool soon = look_briefly([&] { return reached(sequence); });
        lock.lock();
        if (soon) return;
        progress_.wait(lock, [&] { return reached(sequence); });
    }
}

void Stream::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (busy_ || (queue_.empty() && !closed_)) {
            called_.store(false, std::memory_order_relaxed);
            lock.unlock();
            look_briefly([&] { return called_.load(std::memory_order_acquire); });
            lock.lock();
            work_.wait(lock, [&] { return !busy_ && (!queue_.empty() || closed_); });
        }
        if (queue_.empty()) {
            thread_started_ = false;
            return;
        }
        perform_first(lock);
    }
}

void Stream::perform_first(std::unique_lock<std::mutex>& lock) {
    Operation operation = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    for (const Point& point : operation.after) point.wait_idly();
    perform(*operation.task);
    // Whatever the task holds is let go before anybody can see that it has ended.
    operation = {};
    lock.lock();
    complete_locked();
}

void Stream::perform(Task& task) {
    const CUresult error = setup_.fault->get();
    if (error == CUDA_SUCCESS)
        task.run(*this);
    else
        task.skip(error);
}

void Stream::complete() {
    std::lock_guard lock(mutex_);
    complete_locked();
}

void Stream::complete_locked() {
    busy_ = false;
    completed_.fetch_add(1, std::memory_order_release);
    progress_.notify_all();
    work_.notify_one();
}

}  // namespace cubar::softgpu::device
