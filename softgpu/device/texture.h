// SPDX-License-Identifier: Apache-2.0
// What a texture or surface object reads and writes, and the rules of making one.
#pragma once

#include <cuda.h>

#include "softgpu/device/array.h"
#include "softgpu/device/memory.h"
#include "softgpu/exec/bound_image.h"

namespace cubar::softgpu::device {

/// The resource with its handle looked up: one of the two for arrays, none for memory.
struct ImageResource {
    const CUDA_RESOURCE_DESC& description;
    ArrayRef array;
    MipmappedArrayRef mipmapped;
};

// They throw CUDA_ERROR_INVALID_VALUE, or CUDA_ERROR_NOT_SUPPORTED for what this device lacks.

/// @param view null: the resource as it is.
exec::ImageTable::Ref bind_texture(const Memory& memory, const ImageResource& resource,
                                   const CUDA_TEXTURE_DESC& texture,
                                   const CUDA_RESOURCE_VIEW_DESC* view);
exec::ImageTable::Ref bind_surface(const ImageResource& resource);

}  // namespace cubar::softgpu::device
