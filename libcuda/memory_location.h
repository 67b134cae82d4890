// SPDX-License-Identifier: Apache-2.0
// Where memory shall lie, as virtual memory and pools are told.
#pragma once

#include <cuda.h>

#include "libcuda/call.h"

namespace cubar::guest {

/// The host's number of the device of a location. Memory of the host is not remoted.
inline CUresult device_at(const CUmemLocation& location, std::int32_t& device) {
    switch (location.type) {
        case CU_MEM_LOCATION_TYPE_DEVICE:
            return device_of(location.id, device);
        case CU_MEM_LOCATION_TYPE_HOST:
        case CU_MEM_LOCATION_TYPE_HOST_NUMA:
        case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
            return CUDA_ERROR_NOT_SUPPORTED;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

/// What crosses: pinned memory, without handles for other processes.
inline CUresult check_plain(CUmemAllocationType type, unsigned handle_types) {
    if (type != CU_MEM_ALLOCATION_TYPE_PINNED && type != CU_MEM_ALLOCATION_TYPE_MANAGED) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return type == CU_MEM_ALLOCATION_TYPE_PINNED && handle_types == CU_MEM_HANDLE_TYPE_NONE
               ? CUDA_SUCCESS
               : CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace cubar::guest
