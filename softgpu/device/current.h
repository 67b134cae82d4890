// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <vector>

namespace cubar::softgpu::device {

/// What CUDA keeps per host thread.
struct ThreadState {
    /// The last one is current. Handles, not objects: a context may end while it is on a stack.
    std::vector<CUcontext> contexts;
    /// How captures interact with this thread's calls; see cuThreadExchangeStreamCaptureMode.
    CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

    [[nodiscard]] CUcontext current() const { return contexts.empty() ? nullptr : contexts.back(); }
    void set_current(CUcontext context);
};

/// The calling thread's. Its end lets go of the thread's default streams.
ThreadState& this_thread();

}  // namespace cubar::softgpu::device
