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

/// A mark that can be put into streams, again and again: each record replaces the one before.
/// Thread-safe.
class Event {
public:
    Event(CUcontext context, unsigned flags) : context_(context), flags_(flags) {}

    [[nodiscard]] CUcontext context() const { return context_; }
    [[nodiscard]] bool timed() const { return (flags_ & CU_EVENT_DISABLE_TIMING) == 0; }

    void record(StreamSet& streams, const StreamRef& stream);
    /// Where the last record stands; a point that is done when there was none.
    [[nodiscard]] Point point() const;

    /// Milliseconds from one to the other. Throws CUDA's errors.
    static float elapsed(const Event& start, const Event& end);

private:
    /// Nanoseconds; written by the stream before its operation ends.
    using Timestamp = std::shared_ptr<std::int64_t>;
    struct Record {
        Point point;
        Timestamp time;
    };
    [[nodiscard]] std::optional<Record> latest() const;

    const CUcontext context_;
    const unsigned flags_;
    mutable std::mutex mutex_;
    std::optional<Record> latest_;
};

using EventRef = std::shared_ptr<Event>;

}  // namespace cubar::softgpu::device
