// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <vector>

#include "cubar/handle.h"
#include "libcuda/objects.h"

namespace cubar::guest {

/// What CUDA keeps for each host thread. Touched by its own thread alone.
struct ThreadState {
    std::uint32_t number = 0;             ///< in this process, from 1; names the thread in records
    std::vector<ContextHandle> contexts;  ///< cuCtxPushCurrent's stack, the current one last

    CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

    /// The stream that CU_STREAM_PER_THREAD stands for, in each context where it was used.
    struct ThreadStream {
        ContextHandle context;
        StreamHandle stream;
    };
    std::vector<ThreadStream> streams;

    /// What cuStreamGetCaptureInfo pointed to last.
    std::vector<CUgraphNode> shown_nodes;
    std::vector<CUgraphEdgeData> shown_edges;

    ContextHandle current() const { return contexts.empty() ? ContextHandle{} : contexts.back(); }
};

namespace detail {
// One pointer of static thread-local storage: a library that is loaded late may use little of it,
// and a launch can afford no call to find it.
extern thread_local constinit ThreadState* thread_state [[gnu::tls_model("initial-exec")]];
ThreadState* make_thread_state();
}  // namespace detail

/// The calling thread's state, made at its first call. Null: out of memory.
inline ThreadState* this_thread() {
    ThreadState* state = detail::thread_state;
    return state != nullptr ? state : detail::make_thread_state();
}

}  // namespace cubar::guest
