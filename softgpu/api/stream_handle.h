// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/device/context.h"
#include "softgpu/device/driver.h"

namespace cubar::softgpu::api {

/// A stream with the context that it belongs to.
struct StreamPlace {
    device::ContextRef context;
    device::StreamRef stream;

    [[nodiscard]] device::StreamSet& order() const { return context->streams(); }
};

/// What a stream argument means: 0 and the special handles are the current context's. Throws
/// CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_CONTEXT, or the context's sticky error.
StreamPlace stream_of(device::Driver& driver, CUstream stream);

/// As stream_of(), for what must happen in the current context.
StreamPlace stream_of_current(device::Driver& driver, CUstream stream);

}  // namespace cubar::softgpu::api
