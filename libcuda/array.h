// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "libcuda/call.h"

namespace cubar::guest {

// The mirror of an array. INVALID_HANDLE for a value that names none that lives.
CUresult find_array(const Caller& caller, CUarray value, Array*& out);
CUresult find_mipmapped_array(const Caller& caller, CUmipmappedArray value, MipmappedArray*& out);

/// Bytes of one element; 0 for formats of several planes or of blocks.
std::uint32_t element_bytes(const CUDA_ARRAY3D_DESCRIPTOR& shape);

}  // namespace cubar::guest
