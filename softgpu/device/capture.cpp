// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/capture.h"

#include <algorithm>

#include "softgpu/device/current.h"
#include "softgpu/device/error.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/graphs.h"

namespace cubar::softgpu::device {
namespace {

std::uint64_t next_capture_id() {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void break_off(Capture& capture, CUresult error, const char* reason) {
    capture.invalidated = true;
    throw Error(error, reason);
}

void add_to(std::vector<Dependency>& all, std::span<const Dependency> more) {
    for (const Dependency& each : more) {
        const bool there = std::any_of(all.begin(), all.end(), [&](const Dependency& other) {
            return other.node == each.node;
        });
        if (!there) all.push_back(each);
    }
}

void add_node(Capture& capture, Capture::Branch& branch, WorkRef work) {
    const NodeRef node = capture.graph->add(std::move(work), branch.dependencies);
    branch.dependencies = {{node.get(), {}}};
}

/// Every stream's work has been joined to the origin's.
bool joined(Capture& capture) {
    const auto& end = capture.branches[capture.origin.get()].dependencies;
    return std::all_of(capture.branches.begin(), capture.branches.end(), [&](const auto& entry) {
        const auto& own = entry.second.dependencies;
        return std::all_of(own.begin(), own.end(),
                           [&](const Dependency& each) { return Graph::reaches(end, *each.node); });
    });
}

}  // namespace

CaptureRef Captures::capture_of(const Stream& stream) const {
    const auto found = streams_.find(&stream);
    return found != streams_.end() ? found->second : nullptr;
}

CaptureRef Captures::that_legacy_would_wait_for(const Stream& stream) const {
    if (stream.role() != StreamRole::kLegacy) return nullptr;
    for (const CaptureRef& capture : captures_)
        for (const auto& [other, branch] : capture->branches)
            if (other->blocking() && other->context() == stream.context()) return capture;
    return nullptr;
}

void Captures::forbid_implicit(const Stream& stream) {
    if (const CaptureRef capture = that_legacy_would_wait_for(stream))
        break_off(*capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                  "the legacy stream would wait for a stream that is being captured");
}

Capture::Branch* Captures::branch_of(const StreamRef& stream, CaptureRef& capture) {
    capture = capture_of(*stream);
    if (capture == nullptr) {
        forbid_implicit(*stream);
        return nullptr;
    }
    require(!capture->invalidated, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
            "the capture is invalid since an earlier error");
    return &capture->branches[stream.get()];
}

bool Captures::take_active(const StreamRef& stream, const std::function<WorkRef()>& make) {
    std::lock_guard lock(graphs_.mutex);
    return take_locked(stream, make);
}

bool Captures::take_locked(const StreamRef& stream, const std::function<WorkRef()>& make) {
    CaptureRef capture;
    Capture::Branch* branch = branch_of(stream, capture);
    if (branch == nullptr) return false;
    add_node(*capture, *branch, make());
    return true;
}

bool Captures::take_record(const EventRef& event, CUevent handle, const StreamRef& stream,
                           bool external) {
    if (!any()) return false;
    std::lock_guard lock(graphs_.mutex);
    CaptureRef capture;
    Capture::Branch* branch = branch_of(stream, capture);
    if (branch == nullptr) return false;
    if (external)
        add_node(*capture, *branch,
                 std::make_shared<EventWork>(CU_GRAPH_NODE_TYPE_EVENT_RECORD, event, handle));
    else
        event->captured(std::make_shared<CaptureMark>(CaptureMark{capture, branch->dependencies}));
    return true;
}

bool Captures::take_wait(const EventRef& event, CUevent handle, const StreamRef& stream,
                         bool external) {
    const std::shared_ptr<const CaptureMark> mark = event->mark();
    if (mark == nullptr && !any()) return false;
    std::lock_guard lock(graphs_.mutex);
    CaptureRef capture;
    Capture::Branch* branch = branch_of(stream, capture);
    if (external && branch != nullptr) {
        add_node(*capture, *branch,
                 std::make_shared<EventWork>(CU_GRAPH_NODE_TYPE_WAIT_EVENT, event, handle));
        return true;
    }
    if (mark != nullptr) return take_mark(stream, capture, *mark);
    if (branch == nullptr) return false;
    // An event that was never recorded is nothing to wait for.
    if (event->point().stream() != nullptr)
        break_off(*capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                  "a captured stream waits for an event from outside its capture");
    return true;
}

bool Captures::take_mark(const StreamRef& stream, const CaptureRef& own, const CaptureMark& mark) {
    Capture& capture = *mark.capture;
    if (capture.ended) {
        if (own != nullptr)
            break_off(*own, CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                      "a captured stream waits for an event of a capture that has ended");
        throw Error(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a capture");
    }
    if (own != nullptr && own != mark.capture) {
        own->invalidated = true;
        break_off(capture, CUDA_ERROR_STREAM_CAPTURE_MERGE, "two captures would become one");
    }
    require(!capture.invalidated, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
            "the capture is invalid since an earlier error");
    if (stream->role() == StreamRole::kLegacy)
        break_off(capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                  "the legacy stream cannot be captured");
    Capture::Branch& branch = capture.branches[stream.get()];
    branch.stream = stream;
    streams_[stream.get()] = mark.capture;
    add_to(branch.dependencies, mark.dependencies);
    return true;
}

void Captures::forbid_capture(const StreamRef& stream) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    forbid_capture_locked(stream);
}

void Captures::forbid_capture_locked(const StreamRef& stream) {
    CaptureRef capture;
    if (branch_of(stream, capture) != nullptr)
        break_off(*capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                  "not while the stream is being captured");
}

void Captures::forbid(const StreamRef& stream) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    forbid_capture_locked(stream);
    forbid_unsafe_locked();
}

void Captures::forbid_context(CUcontext context) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    bool there = false;
    for (const auto& [stream, capture] : streams_) {
        if (stream->context() != context) continue;
        capture->invalidated = true;
        there = true;
    }
    require(!there, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            "not while a stream of the context is being captured");
    forbid_unsafe_locked();
}

void Captures::forbid_event(const Event& event) {
    const std::shared_ptr<const CaptureMark> mark = event.mark();
    if (mark == nullptr && !any()) return;
    std::lock_guard lock(graphs_.mutex);
    if (mark != nullptr)
        break_off(*mark->capture, CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a capture");
    forbid_unsafe_locked();
}

void Captures::forbid_unsafe() {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    forbid_unsafe_locked();
}

void Captures::forbid_unsafe_locked() {
    const CUstreamCaptureMode mine = this_thread().capture_mode;
    if (mine == CU_STREAM_CAPTURE_MODE_RELAXED) return;
    const std::uint64_t thread = this_thread_number();
    bool forbidden = false;
    for (const CaptureRef& capture : captures_) {
        const bool local = capture->thread == thread;
        const bool concerned = local ? capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED
                                     : capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                                           mine == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (!concerned) continue;
        capture->invalidated = true;
        forbidden = true;
    }
    require(!forbidden, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            "not during a capture in this mode; cuThreadExchangeStreamCaptureMode permits it");
}

void Captures::begin(const StreamRef& stream, CUstreamCaptureMode mode, GraphRef graph,
                     std::span<const Dependency> dependencies) {
    require_value(mode >= CU_STREAM_CAPTURE_MODE_GLOBAL && mode <= CU_STREAM_CAPTURE_MODE_RELAXED,
                  "no such mode");
    require(stream->role() != StreamRole::kLegacy, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            "the legacy stream cannot be captured");
    require(capture_of(*stream) == nullptr, CUDA_ERROR_ILLEGAL_STATE,
            "the stream is being captured already");
    const bool given = graph != nullptr;
    if (!given) graph = std::make_shared<Graph>();
    require_value(!graph->capturing, "another capture goes into this graph");
    for (const Dependency& each : dependencies)
        require_value(&each.node->graph() == graph.get(), "a node of another graph");
    auto capture = std::make_shared<Capture>();
    capture->id = next_capture_id();
    capture->mode = mode;
    capture->thread = this_thread_number();
    capture->origin = stream;
    capture->graph = std::move(graph);
    capture->to_given_graph = given;
    capture->graph->capturing = true;
    capture->branches[stream.get()] = {stream, {dependencies.begin(), dependencies.end()}, {}, {}};
    streams_[stream.get()] = capture;
    captures_.push_back(std::move(capture));
    // Pairs with any(): whoever sees the count takes the mutex and finds the capture.
    active_.fetch_add(1, std::memory_order_release);
}

GraphRef Captures::end(const StreamRef& stream) {
    const CaptureRef capture = capture_of(*stream);
    require(capture != nullptr, CUDA_ERROR_ILLEGAL_STATE, "the stream is not being captured");
    if (capture->origin != stream)
        break_off(*capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED,
                  "the capture was begun on another stream");
    require(
        capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED || capture->thread == this_thread_number(),
        CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture was begun by another thread");
    const bool whole = joined(*capture);
    if (capture->invalidated || !whole) {
        abandon(capture);
        throw Error(capture->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                                         : CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
                    capture->invalidated
                        ? "the capture is invalid since an earlier error"
                        : "work of a stream that was not joined to the capture's first one");
    }
    finish(capture);
    return capture->graph;
}

void Captures::abandon(const CaptureRef& capture) {
    finish(capture);
    if (!capture->to_given_graph) graphs_.withdraw(*capture->graph);
}

void Captures::finish(const CaptureRef& capture) {
    capture->ended = true;
    capture->graph->capturing = false;
    std::erase_if(streams_, [&](const auto& entry) { return entry.second == capture; });
    std::erase(captures_, capture);
    active_.fetch_sub(1, std::memory_order_release);
}

CaptureRef Captures::find(const StreamRef& stream) {
    require(that_legacy_would_wait_for(*stream) == nullptr, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
            "a stream that the legacy stream waits for is being captured");
    return capture_of(*stream);
}

void Captures::update(const StreamRef& stream, std::span<const Dependency> dependencies,
                      bool replace) {
    const CaptureRef capture = capture_of(*stream);
    require(capture != nullptr, CUDA_ERROR_ILLEGAL_STATE, "the stream is not being captured");
    require(!capture->invalidated, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
            "the capture is invalid since an earlier error");
    for (const Dependency& each : dependencies)
        require_value(&each.node->graph() == capture->graph.get(), "a node of another graph");
    std::vector<Dependency>& own = capture->branches[stream.get()].dependencies;
    if (replace) own.clear();
    add_to(own, dependencies);
}

void Captures::drop_stream(const StreamRef& stream) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    const CaptureRef capture = capture_of(*stream);
    if (capture == nullptr) return;
    // Nobody can end a capture whose first stream is gone. Work of another one stays to be joined.
    if (capture->origin == stream)
        abandon(capture);
    else
        streams_.erase(stream.get());
}

void Captures::drop_context(CUcontext context) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    for (const CaptureRef& capture : std::vector(captures_))
        if (capture->origin->context() == context) abandon(capture);
    std::erase_if(streams_, [&](const auto& entry) { return entry.first->context() == context; });
}

void Captures::drop_thread(std::uint64_t thread) {
    if (!any()) return;
    std::lock_guard lock(graphs_.mutex);
    for (const CaptureRef& capture : std::vector(captures_))
        if (capture->thread == thread && capture->origin->role() == StreamRole::kPerThread)
            abandon(capture);
}

}  // namespace cubar::softgpu::device
