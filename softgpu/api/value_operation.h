// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <vector>

#include "softgpu/device/memory_value.h"

namespace cubar::softgpu::api {

/// The operations of a batch. Throws CUDA_ERROR_INVALID_VALUE or CUDA_ERROR_NOT_SUPPORTED.
std::vector<device::ValueOperation> value_operations(const CUstreamBatchMemOpParams* parameters,
                                                     unsigned count);
CUstreamBatchMemOpParams value_parameters(const device::ValueOperation& operation);

}  // namespace cubar::softgpu::api
