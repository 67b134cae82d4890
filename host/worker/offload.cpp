// SPDX-License-Identifier: Apache-2.0
#include "host/worker/offload.h"

#include <utility>

namespace cubar::host {

OffloadPool::~OffloadPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void OffloadPool::start(std::function<void()> job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        ++running_;
        // As many idle threads as queued jobs, else a job would wait for one that blocks.
        if (idle_ < jobs_.size()) threads_.emplace_back([this] { serve(); });
    }
    work_.notify_one();
}

std::size_t OffloadPool::running() const {
    const std::lock_guard lock(mutex_);
    return running_;
}

void OffloadPool::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        --idle_;
        if (jobs_.empty()) return;
        const std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        lock.lock();
        --running_;
    }
}

}  // namespace cubar::host
