// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cubar::host {

/// Threads for calls that may block in the driver. Each job gets a thread that does nothing else
/// until it is done, so a call that blocks delays no other; threads are kept for the next jobs.
///
/// A guest can have no more such calls at once than it has reply slots, which bounds the threads.
class OffloadPool {
public:
    OffloadPool() = default;
    OffloadPool(const OffloadPool&) = delete;
    OffloadPool& operator=(const OffloadPool&) = delete;
    /// Waits for the jobs that run.
    ~OffloadPool();

    /// Starts `job` at once on a thread of its own. Never blocks on other jobs.
    void start(std::function<void()> job);

    /// Jobs started and not yet finished.
    std::size_t running() const;

private:
    void serve();

    mutable std::mutex mutex_;
    std::condition_variable work_;
    std::deque<std::function<void()>> jobs_;
    std::vector<std::thread> threads_;
    std::size_t idle_ = 0;
    std::size_t running_ = 0;
    bool stopping_ = false;
};

}  // namespace cubar::host
