// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "softgpu/device/stream_set.h"

namespace cubar::softgpu::device {

struct CaptureMark;  // softgpu/device/capture.h

/// A mark that can be put into streams, again and again: each record replaces the one before.
/// Thread-safe.
class Event {
public:
    Event(CUcontext context, unsigned flags) : context_(context), flags_(flags) {}

    [[nodiscard]] CUcontext context() const { return context_; }
    [[nodiscard]] bool timed() const { return (flags_ & CU_EVENT_DISABLE_TIMING) == 0; }

    /// What a record puts into a stream: notes the time.
    class Stamp {
    public:
        Stamp() : time_(std::make_shared<std::int64_t>(0)) {}
        void operator()() const;

    private:
        friend class Event;
        /// Nanoseconds; written by the stream before its operation ends.
        std::shared_ptr<std::int64_t> time_;
    };

    void record(StreamSet& streams, const StreamRef& stream);
    /// What record() ends with, for a stamp that the caller has put into a stream.
    void recorded(Point point, Stamp stamp);
    /// The same for a record that went into a capture, of which the event is a mark from then on.
    void captured(std::shared_ptr<const CaptureMark> mark);
    /// Where the last record stands in a capture; null when it was a real one.
    [[nodiscard]] std::shared_ptr<const CaptureMark> mark() const;
    /// Where the last record stands; a point that is done when there was none.
    [[nodiscard]] Point point() const;

    /// Milliseconds from one to the other. Throws CUDA's errors.
    static float elapsed(const Event& start, const Event& end);

private:
    struct Record {
        Point point;
        Stamp stamp;
    };
    void replace(Record record);
    [[nodiscard]] std::optional<Record> latest() const;

    const CUcontext context_;
    const unsigned flags_;
    mutable std::mutex mutex_;
    std::optional<Record> latest_;
    std::shared_ptr<const CaptureMark> mark_;
};

using EventRef = std::shared_ptr<Event>;

}  // namespace cubar::softgpu::device
