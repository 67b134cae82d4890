// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/stream_set.h"

#include <algorithm>

namespace cubar::softgpu::device {
namespace {

std::uint64_t next_stream_id() {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

std::uint64_t this_thread_number() {
    static std::atomic<std::uint64_t> next{1};
    static thread_local const std::uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
    return number;
}

StreamSet::StreamSet(Setup setup)
    : setup_(std::move(setup)), legacy_(make(StreamRole::kLegacy, CU_STREAM_DEFAULT, 0)) {}

StreamSet::~StreamSet() {
    abandon();
}

void StreamSet::abandon() {
    std::lock_guard lock(mutex_);
    for (const StreamRef& stream : streams_) stream->close(true);
    legacy_->close(true);
}

StreamRef StreamSet::make(StreamRole role, unsigned flags, int priority) {
    return std::make_shared<Stream>(Stream::Setup{role, flags, priority, next_stream_id(),
                                                  setup_.context, setup_.capacity, setup_.fault});
}

StreamRef StreamSet::per_thread() {
    const std::uint64_t thread = this_thread_number();
    std::lock_guard lock(mutex_);
    StreamRef& stream = per_thread_[thread];
    if (stream == nullptr) {
        stream = make(StreamRole::kPerThread, CU_STREAM_DEFAULT, 0);
        streams_.push_back(stream);
    }
    return stream;
}

StreamRef StreamSet::create(unsigned flags, int priority) {
    StreamRef stream = make(StreamRole::kCreated, flags, priority);
    std::lock_guard lock(mutex_);
    streams_.push_back(stream);
    return stream;
}

void StreamSet::remove(const StreamRef& stream) {
    // What it still has in flight stays ordered before the legacy stream's later operations.
    std::lock_guard lock(mutex_);
    stream->close(false);
    std::erase_if(streams_, [&](const StreamRef& each) { return each == stream && each->idle(); });
}

void StreamSet::forget_thread(std::uint64_t thread) {
    std::lock_guard lock(mutex_);
    const auto found = per_thread_.find(thread);
    if (found == per_thread_.end()) return;
    found->second->close(false);
    std::erase_if(streams_,
                  [&](const StreamRef& each) { return each == found->second && each->idle(); });
    per_thread_.erase(found);
}

void StreamSet::add_order(Stream& stream, std::vector<Point>& after) {
    const auto add = [&](const StreamRef& other) {
        Point point = other->last();
        if (!point.done()) after.push_back(std::move(point));
    };
    if (stream.role() == StreamRole::kLegacy) {
        // Streams that were destroyed with work in flight are kept until it is done.
        std::erase_if(streams_, [](const StreamRef& each) { return each->finished(); });
        for (const StreamRef& other : streams_)
            if (other->blocking()) add(other);
    } else if (stream.blocking()) {
        add(legacy_);
    }
}

Point StreamSet::submit(const StreamRef& stream, TaskPtr task, std::vector<Point> after) {
    stream->await_space();
    std::lock_guard lock(mutex_);
    add_order(*stream, after);
    return stream->append(std::move(task), std::move(after));
}

std::vector<Point> StreamSet::submit_together(const StreamRef& stream, std::vector<Turn> turns) {
    std::vector<Point> ends;
    std::lock_guard lock(mutex_);
    for (Turn& turn : turns) {
        if (ends.empty()) add_order(*stream, turn.after);
        ends.push_back(stream->append(std::move(turn.task), std::move(turn.after)));
    }
    return ends;
}

void StreamSet::execute(const StreamRef& stream, TaskPtr task) {
    Point end;
    {
        std::unique_lock lock(mutex_);
        std::vector<Point> after;
        add_order(*stream, after);
        if (after.empty() && stream->try_claim()) {
            lock.unlock();
            stream->run_claimed(*task);
            return;
        }
        end = stream->append(std::move(task), std::move(after));
    }
    end.wait();
}

bool StreamSet::idle() const {
    std::lock_guard lock(mutex_);
    return legacy_->idle() && std::all_of(streams_.begin(), streams_.end(),
                                          [](const StreamRef& each) { return each->idle(); });
}

void StreamSet::wait_for(const StreamRef& stream) {
    std::vector<Point> points;
    {
        std::lock_guard lock(mutex_);
        add_order(*stream, points);
        points.push_back(stream->last());
    }
    for (const Point& point : points) point.wait();
}

void StreamSet::wait() {
    std::vector<Point> points;
    {
        std::lock_guard lock(mutex_);
        points.push_back(legacy_->last());
        for (const StreamRef& stream : streams_) points.push_back(stream->last());
    }
    for (const Point& point : points) point.wait();
}

}  // namespace cubar::softgpu::device
