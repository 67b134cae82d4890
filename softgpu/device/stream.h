// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/device/fault_state.h"
#include "softgpu/device/stream_attributes.h"
#include "softgpu/device/task.h"

namespace cubar::softgpu::device {

class Stream;

/// A place in a stream: the end of its operation number `sequence`. Streams work in order, so this
/// one pair answers all questions of "is it done"; events are such points.
class Point {
public:
    Point() = default;
    Point(std::shared_ptr<Stream> stream, std::uint64_t sequence)
        : stream_(std::move(stream)), sequence_(sequence) {}

    [[nodiscard]] bool done() const;
    void wait() const;
    /// For a stream's thread, which has work of its own waiting: never does other streams' work.
    void wait_idly() const;
    [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
    [[nodiscard]] const Stream* stream() const { return stream_.get(); }

private:
    std::shared_ptr<Stream> stream_;
    std::uint64_t sequence_ = 0;
};

enum class StreamRole : std::uint8_t {
    kLegacy,     ///< CU_STREAM_LEGACY: orders itself with every blocking stream
    kPerThread,  ///< CU_STREAM_PER_THREAD of one host thread; blocking
    kCreated,    ///< by cuStreamCreate
};

/// An in-order queue of operations, executed by a thread of its own that starts with the first one.
/// Order among streams is made by the points that an operation waits for; see StreamSet.
/// Thread-safe. Stays alive until its queue is empty, whoever else lets go of it.
class Stream : public std::enable_shared_from_this<Stream> {
public:
    struct Setup {
        StreamRole role = StreamRole::kCreated;
        unsigned flags = CU_STREAM_DEFAULT;
        int priority = 0;
        std::uint64_t id = 0;  ///< unique in the process
        CUcontext context = nullptr;
        std::size_t capacity = 0;  ///< operations in flight before callers block
        std::shared_ptr<FaultState> fault;
    };
    explicit Stream(Setup setup) : setup_(std::move(setup)), attributes_(setup_.priority) {}

    [[nodiscard]] StreamRole role() const { return setup_.role; }
    [[nodiscard]] unsigned flags() const { return setup_.flags; }
    [[nodiscard]] bool blocking() const { return (setup_.flags & CU_STREAM_NON_BLOCKING) == 0; }
    [[nodiscard]] std::uint64_t id() const { return setup_.id; }
    [[nodiscard]] CUcontext context() const { return setup_.context; }
    [[nodiscard]] StreamAttributes attributes() const;
    void set_attribute(CUstreamAttrID attribute, const CUstreamAttrValue& value);
    void set_attributes(const StreamAttributes& attributes);
    [[nodiscard]] FaultState& fault() const { return *setup_.fault; }

    /// Blocks while the queue is full. Callers hold no lock that the queue's operations need.
    void await_space();
    /// Appends an operation that starts after the given points. Never blocks.
    Point append(TaskPtr task, std::vector<Point> after);
    /// If nothing is in flight: claims the stream for one operation of the calling thread, which
    /// then calls run_claimed(), and returns true.
    bool try_claim();
    void run_claimed(Task& task);

    [[nodiscard]] Point last();
    [[nodiscard]] bool idle() const;
    /// Closed, and its work is done.
    [[nodiscard]] bool finished() const;

    /// Ends the thread once the queue is empty, and makes waits for memory values give up if
    /// `abandon`.
    void close(bool abandon);
    /// True when an operation that waits for something outside should give up.
    [[nodiscard]] bool abandoned() const;

private:
    friend class Point;
    struct Operation {
        TaskPtr task;
        std::vector<Point> after;
    };

    [[nodiscard]] bool reached(std::uint64_t sequence) const {
        return completed_.load(std::memory_order_acquire) >= sequence;
    }
    /// Blocks until that operation has ended. Does the stream's operations itself while its thread
    /// is not at them, if `help`.
    void wait_for(std::uint64_t sequence, bool help);
    void work();
    /// Performs the first operation of the queue; the lock is held, but not meanwhile.
    void perform_first(std::unique_lock<std::mutex>& lock);
    void perform(Task& task);
    void complete();
    /// With the lock held.
    void complete_locked();

    const Setup setup_;
    mutable std::mutex mutex_;
    std::condition_variable work_;      // something to do, or closed
    std::condition_variable progress_;  // an operation ended
    StreamAttributes attributes_;
    std::deque<Operation> queue_;
    // Stored by append() and close(), looked at by work() before it sleeps; a hint, the queue
    // rules.
    std::atomic<bool> called_{false};
    bool busy_ = false;  // an operation taken from the queue, or a caller's own, is in work
    bool closed_ = false;
    bool thread_started_ = false;
    std::atomic<bool> abandoned_ = false;
    std::uint64_t issued_ = 0;
    // Released by complete() with all effects of the operation, acquired by reached().
    std::atomic<std::uint64_t> completed_{0};
};

using StreamRef = std::shared_ptr<Stream>;

}  // namespace cubar::softgpu::device
