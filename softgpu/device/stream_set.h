// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "softgpu/device/stream.h"

namespace cubar::softgpu::device {

/// The streams of one context and the order among them: the legacy stream's operations start after
/// all earlier ones of blocking streams, and theirs after all earlier ones of the legacy stream.
/// Thread-safe.
class StreamSet {
public:
    struct Setup {
        CUcontext context = nullptr;
        std::size_t capacity = 0;  ///< per stream
        std::shared_ptr<FaultState> fault;
    };
    explicit StreamSet(Setup setup);
    ~StreamSet();
    StreamSet(const StreamSet&) = delete;
    StreamSet& operator=(const StreamSet&) = delete;

    [[nodiscard]] StreamRef legacy() const { return legacy_; }
    /// The calling thread's own default stream.
    StreamRef per_thread();
    StreamRef create(unsigned flags, int priority);
    /// The stream ends once its work is done; this does not wait.
    void remove(const StreamRef& stream);
    /// Drops the default stream of a thread that has ended.
    void forget_thread(std::uint64_t thread);

    /// Enqueues; blocks only while the stream's queue is full.
    Point submit(const StreamRef& stream, TaskPtr task, std::vector<Point> after = {});
    /// Enqueues several operations, with nothing of other threads in between, and returns their
    /// ends. Never blocks: the caller has awaited space.
    struct Turn {
        TaskPtr task;
        std::vector<Point> after;
    };
    std::vector<Point> submit_together(const StreamRef& stream, std::vector<Turn> turns);
    /// As submit(), for a callable that takes next to no time and waits for nothing: with nothing
    /// in flight before it, it runs on the calling thread.
    template <class Callable>
    Point submit_brief(const StreamRef& stream, Callable callable) {
        {
            std::unique_lock lock(mutex_);
            std::vector<Point> after;
            add_order(*stream, after);
            if (after.empty() && stream->try_claim()) {
                Point end = stream->last();
                lock.unlock();
                CallableTask<Callable> task(std::move(callable));
                stream->run_claimed(task);
                return end;
            }
        }
        return submit(stream, make_task(std::move(callable)));
    }
    /// Does the task in the stream's order and returns when it is done. With nothing in flight
    /// before it, it runs on the calling thread.
    void execute(const StreamRef& stream, TaskPtr task);

    [[nodiscard]] bool idle() const;
    /// For everything that was submitted before the call.
    void wait();
    /// The same for one stream; for the legacy stream, with all that it waits for.
    void wait_for(const StreamRef& stream);
    /// Makes operations that wait for a value in memory give up, now and later.
    void abandon();

private:
    StreamRef make(StreamRole role, unsigned flags, int priority);
    void add_order(Stream& stream, std::vector<Point>& after);

    const Setup setup_;
    StreamRef legacy_;
    mutable std::mutex mutex_;  // holds still what order an operation gets
    std::vector<StreamRef> streams_;
    std::unordered_map<std::uint64_t, StreamRef> per_thread_;
};

/// A number for the calling thread that no other thread of the process ever gets.
std::uint64_t this_thread_number();

}  // namespace cubar::softgpu::device
