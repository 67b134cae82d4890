// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "softgpu/device/context.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

/// The way of every asynchronous operation: into the graph, where its stream is being captured, and
/// else into the stream. Returns its end there, or for a captured one a point that is done. Throws
/// CUDA_ERROR_STREAM_CAPTURE_….
Point issue(Context& context, const StreamRef& stream, WorkRef work);

}  // namespace cubar::softgpu::device
