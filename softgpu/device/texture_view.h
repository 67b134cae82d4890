// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/exec/bound_image.h"

namespace cubar::softgpu::device {

/// Makes the image what the view shows of its array. Throws CUDA_ERROR_INVALID_VALUE, or
/// CUDA_ERROR_NOT_SUPPORTED for compressed formats.
void apply_view(exec::BoundImage& image, const CUDA_ARRAY3D_DESCRIPTOR& array,
                const CUDA_RESOURCE_VIEW_DESC& view);

}  // namespace cubar::softgpu::device
