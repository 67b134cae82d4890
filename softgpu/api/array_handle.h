// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/device/array.h"

namespace cubar::softgpu::api {

/// Throws CUDA_ERROR_INVALID_HANDLE for what names no living array.
device::ArrayRef array_of(Driver& driver, CUarray handle);
device::MipmappedArrayRef mipmapped_array_of(Driver& driver, CUmipmappedArray handle);

}  // namespace cubar::softgpu::api
