// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "softgpu/device/event.h"
#include "softgpu/device/graph.h"
#include "softgpu/device/stream_set.h"

namespace cubar::softgpu::device {

struct Graphs;

/// One capture sequence: from cuStreamBeginCapture to cuStreamEndCapture, with all the streams that
/// joined it. Guarded by Graphs::mutex.
struct Capture {
    /// A stream of the capture.
    struct Branch {
        StreamRef stream;
        std::vector<Dependency> dependencies;  ///< of the next node
        // What cuStreamGetCaptureInfo pointed to.
        std::vector<CUgraphNode> shown_nodes;
        std::vector<CUgraphEdgeData> shown_edges;
    };

    std::uint64_t id = 0;  ///< unique in the process
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::uint64_t thread = 0;  ///< that began it
    StreamRef origin;
    GraphRef graph;
    bool to_given_graph = false;  ///< cuStreamBeginCaptureToGraph: it stays the caller's
    bool invalidated = false;
    bool ended = false;
    std::map<const Stream*, Branch> branches;
};

using CaptureRef = std::shared_ptr<Capture>;

/// What an event stands for that was last recorded in a capture.
struct CaptureMark {
    CaptureRef capture;
    std::vector<Dependency> dependencies;  ///< good until the capture has ended
};

/// All captures of the process, and their rules. Each call of the API that puts work into a stream
/// asks here first; while nothing is being captured the answer costs one load. An operation that
/// breaks a rule throws CUDA_ERROR_STREAM_CAPTURE_… and invalidates the captures it concerns.
/// Thread-safe.
class Captures {
public:
    explicit Captures(Graphs& graphs) : graphs_(graphs) {}

    /// Adds the work to the graph if the stream is being captured. False: it belongs into the
    /// stream.
    bool take(const StreamRef& stream, const std::function<WorkRef()>& make) {
        return any() && take_active(stream, make);
    }
    bool take(const StreamRef& stream, const WorkRef& work) {
        return any() && take_active(stream, [&] { return work; });
    }
    /// The same for a record of an event, and for a wait.
    bool take_record(const EventRef& event, CUevent handle, const StreamRef& stream, bool external);
    bool take_wait(const EventRef& event, CUevent handle, const StreamRef& stream, bool external);

    /// For operations of a stream that no node stands for.
    void forbid_capture(const StreamRef& stream);
    /// For what cannot be captured, because the host waits for the stream or asks for its state.
    void forbid(const StreamRef& stream);
    /// The same for a whole context.
    void forbid_context(CUcontext context);
    /// The same for an event.
    void forbid_event(const Event& event);
    /// For what is not observed by a capture and could spoil it: allocations and the like.
    void forbid_unsafe();

    // With Graphs::mutex held:

    /// As take().
    bool take_locked(const StreamRef& stream, const std::function<WorkRef()>& make);
    /// @param graph null: a new one
    void begin(const StreamRef& stream, CUstreamCaptureMode mode, GraphRef graph,
               std::span<const Dependency> dependencies);
    GraphRef end(const StreamRef& stream);
    /// The stream's capture, or null. Throws CUDA_ERROR_STREAM_CAPTURE_IMPLICIT for the legacy
    /// stream where it would wait for a capture.
    CaptureRef find(const StreamRef& stream);
    /// Changes what the stream's next node depends on. Throws CUDA_ERROR_ILLEGAL_STATE.
    void update(const StreamRef& stream, std::span<const Dependency> dependencies, bool replace);

    // Without it:

    /// A stream, a context, or a thread and its default streams have ended.
    void drop_stream(const StreamRef& stream);
    void drop_context(CUcontext context);
    void drop_thread(std::uint64_t thread);

private:
    [[nodiscard]] bool any() const { return active_.load(std::memory_order_acquire) != 0; }
    bool take_active(const StreamRef& stream, const std::function<WorkRef()>& make);
    // With Graphs::mutex held:
    Capture::Branch* branch_of(const StreamRef& stream, CaptureRef& capture);
    [[nodiscard]] CaptureRef capture_of(const Stream& stream) const;
    [[nodiscard]] CaptureRef that_legacy_would_wait_for(const Stream& stream) const;
    void forbid_implicit(const Stream& stream);
    void forbid_unsafe_locked();
    void forbid_capture_locked(const StreamRef& stream);
    bool take_mark(const StreamRef& stream, const CaptureRef& own, const CaptureMark& mark);
    void finish(const CaptureRef& capture);
    void abandon(const CaptureRef& capture);

    Graphs& graphs_;
    std::atomic<unsigned> active_{0};
    std::vector<CaptureRef> captures_;
    std::unordered_map<const Stream*, CaptureRef> streams_;
};

}  // namespace cubar::softgpu::device
