// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <span>

namespace cubar::softgpu::api {

/// Checks the attributes of a launch or of a graph's kernel node. True if it is a cooperative one.
bool read_attributes(std::span<const CUlaunchAttribute> attributes);

}  // namespace cubar::softgpu::api
