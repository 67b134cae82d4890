// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cubar/handle.h"
#include "libcuda/graph_resources.h"
#include "libcuda/objects.h"
#include "libcuda/thread_state.h"

namespace cubar::guest {

class Session;

/// A sequence of operations that becomes a graph, from begin to end. The host's driver records it;
/// this process knows who takes part and keeps CUDA's rules, since only here threads are told
/// apart: the host captures in relaxed mode.
struct Capture {
    std::uint64_t id = 0;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::uint32_t thread = 0;  ///< number of the one that began it
    StreamHandle origin;       ///< where it was begun and must end
    bool into_graph = false;   ///< into one that the application had before
    bool valid = true;
    std::shared_ptr<GraphResources> resources;  ///< of the graph to be
};

/// The captures of this process. Thread-safe. Nothing here is on the way of a launch: a stream
/// that must look first has its count of posted operations set to kLookFirst.
class Captures {
public:
    /// One load: what all questions begin with.
    bool any() const { return count_.load(std::memory_order_acquire) != 0; }

    /// After the host has begun the same. `resources` are those of the graph to be.
    void begin(Session& session, Stream& origin, const Capture& capture);
    /// What speaks against ending a capture in this stream by this thread.
    CUresult may_end(Session& session, const Stream& origin, std::uint32_t thread, Capture& out);
    /// All its streams are ordinary again.
    void end(Session& session, std::uint64_t id);
    /// The stream takes part from now on.
    void join(Session& session, Stream& stream, std::uint64_t id);
    /// The stream is about to be destroyed.
    void drop(Session& session, const Stream& stream);
    /// The host's driver has found something wrong.
    void spoil(Session& session, std::uint64_t id);

    CUresult ask(Session& session, const Stream& stream, CUstreamCaptureStatus& status,
                 std::uint64_t& id);
    /// Of the stream's capture; null: it takes part in none.
    std::shared_ptr<GraphResources> resources(const Stream& stream);

    // CUDA's rules. Whoever breaks one spoils the captures that it protects.

    /// For calls that a capture mode forbids, since a capture cannot see them and may be spoilt.
    CUresult check_unsafe(Session& session, const ThreadState& caller);
    /// For work that is sent to the stream.
    CUresult check_work(Session& session, Stream& stream);
    /// For waiting for a stream, an event or a context, or asking whether it is done.
    CUresult check_wait(Session& session, const ThreadState& caller, Stream& stream);
    CUresult check_wait(Session& session, const ThreadState& caller, const Event& event);
    CUresult check_wait(Session& session, const ThreadState& caller, ContextHandle context);

private:
    // Under the lock.
    Capture* find(std::uint64_t id);
    void invalidate(Session& session, Capture& capture);
    /// A capture that the legacy stream of the context would have to wait for, or null.
    Capture* blocking_in(Session& session, ContextHandle context);
    CUresult check_unsafe_locked(Session& session, const ThreadState& caller);
    /// Also finds the stream's capture.
    CUresult check_work_locked(Session& session, Stream& stream, Capture*& capture);

    std::mutex mutex_;
    std::vector<Capture> captures_;
    std::uint64_t last_id_ = 0;
    std::atomic<std::uint32_t> count_{0};
};

/// Whether the stream takes part in a capture, valid or not.
inline bool is_capturing(const Stream& stream) {
    return stream.capture.load(std::memory_order_relaxed) != 0;
}

}  // namespace cubar::guest
