// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/device/copy.h"

namespace cubar::softgpu::api {

/// The checked copy that a descriptor asks for.
device::Copy copy_of(Driver& driver, const CUDA_MEMCPY3D& descriptor);

}  // namespace cubar::softgpu::api
