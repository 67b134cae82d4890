// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/event.h"

#include <chrono>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

void Event::Stamp::operator()() const {
    *time_ = now();
}

void Event::record(StreamSet& streams, const StreamRef& stream) {
    const Stamp stamp;
    // Held over both steps, so that of two racing records the later one in the stream stays.
    std::lock_guard lock(mutex_);
    replace({streams.submit_brief(stream, stamp), stamp});
}

void Event::recorded(Point point, Stamp stamp) {
    std::lock_guard lock(mutex_);
    replace({std::move(point), std::move(stamp)});
}

void Event::replace(Record record) {
    latest_ = std::move(record);
    mark_ = nullptr;
}

void Event::captured(std::shared_ptr<const CaptureMark> mark) {
    std::lock_guard lock(mutex_);
    mark_ = std::move(mark);
}

std::shared_ptr<const CaptureMark> Event::mark() const {
    std::lock_guard lock(mutex_);
    return mark_;
}

Point Event::point() const {
    const auto record = latest();
    return record ? record->point : Point();
}

std::optional<Event::Record> Event::latest() const {
    std::lock_guard lock(mutex_);
    return latest_;
}

float Event::elapsed(const Event& start, const Event& end) {
    require(start.timed() && end.timed(), CUDA_ERROR_INVALID_HANDLE, "an event without timing");
    const auto first = start.latest();
    const auto second = end.latest();
    require(first && second, CUDA_ERROR_INVALID_HANDLE, "an event that was never recorded");
    if (!first->point.done() || !second->point.done())
        throw Error(CUDA_ERROR_NOT_READY, "an event has not happened yet");
    return static_cast<float>(*second->stamp.time_ - *first->stamp.time_) / 1e6F;
}

}  // namespace cubar::softgpu::device
