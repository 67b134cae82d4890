// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <vector>

#include "softgpu/device/context.h"
#include "softgpu/device/module.h"
#include "softgpu/device/task.h"
#include "softgpu/exec/launch.h"

namespace cubar::softgpu::device {

/// A launch as the caller asks for it.
struct LaunchRequest {
    exec::Dim3 grid;
    exec::Dim3 block;
    unsigned dynamic_shared = 0;
    void** parameters = nullptr;  ///< one pointer per parameter
    void** extra = nullptr;       ///< or the whole buffer
    bool cooperative = false;
    /// What dimensions that no device can have come to; see api/launch.cpp.
    CUresult bad_dimensions = CUDA_ERROR_INVALID_VALUE;
};

/// A launch that CUDA would accept: everything that it needs, owned.
class PreparedLaunch {
public:
    /// Checks what CUDA checks before it returns from a launch, and throws its errors.
    PreparedLaunch(const Context& context, FunctionRef function, const LaunchRequest& request);

    /// Enqueues it on a stream of the context. Without an executor (CUBAR_SOFTGPU_NULL) only its
    /// place in the stream's order remains.
    Point submit(Context& context, const StreamRef& stream) &&;

private:
    TaskPtr task(Context& context) &&;

    FunctionRef function_;
    exec::LaunchConfig config_;
    std::vector<std::byte> parameters_;
};

/// The CUDA error for a fault of a kernel.
CUresult error_of(exec::FaultKind kind);

}  // namespace cubar::softgpu::device
