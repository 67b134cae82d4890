// SPDX-License-Identifier: Apache-2.0
// A driver made of a few functions that write down what they are asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "host/worker/driver.h"

namespace cubar::host::test {

/// Where a call waits until somebody opens it.
class Gate {
public:
    void open() {
        {
            const std::lock_guard lock(mutex_);
            open_ = true;
        }
        changed_.notify_all();
    }
    /// Called by who is held up.
    void pass() {
        std::unique_lock lock(mutex_);
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
    }
    /// Until somebody is held up.
    void await_visitor() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return waiting_ != 0; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    int waiting_ = 0;
};

/// One at a time: the functions of a table have no object.
class FakeDriver {
public:
    FakeDriver();
    ~FakeDriver();
    FakeDriver(const FakeDriver&) = delete;
    FakeDriver& operator=(const FakeDriver&) = delete;

    Driver table;

    /// What was called, in the order of the calls.
    std::vector<std::string> calls() const;
    unsigned count(const std::string& name) const;

    /// What the function returns from now on, until it is set to CUDA_SUCCESS.
    void fail(const std::string& name, CUresult error);
    /// The one memory pool: what an allocation makes it reserve is `growth` times that.
    struct Pool {
        std::atomic<std::uint64_t> reserved{0};
        std::atomic<std::uint64_t> used{0};
        unsigned growth = 1;

        void allocate(std::uint64_t bytes) {
            used += bytes;
            if (used > reserved) reserved = used * growth;
        }
    };
    Pool pool;

    /// Every limit of every context.
    std::atomic<std::uint64_t> limit{0};

    /// cuStreamSynchronize stops here, if there is one.
    Gate* gate = nullptr;

    /// For the functions themselves.
    CUresult called(const std::string& name);

private:
    mutable std::mutex mutex_;
    std::vector<std::string> calls_;
    std::map<std::string, CUresult> failures_;
};

}  // namespace cubar::host::test
