// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <span>

#include "softgpu/exec/dim3.h"

namespace cubar::softgpu::api {

/// What a launch's attributes ask for that this device does.
struct LaunchForm {
    bool cooperative = false;
    exec::Dim3 cluster{0, 0, 0};  ///< zeros: they say nothing of clusters
};

/// Checks the attributes of a launch or of a graph's kernel node.
LaunchForm read_attributes(std::span<const CUlaunchAttribute> attributes);

}  // namespace cubar::softgpu::api
