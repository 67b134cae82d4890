// SPDX-License-Identifier: Apache-2.0
// Where memory shall lie, as virtual memory and pools are told.
#pragma once

#include <cuda.h>

#include "softgpu/api/entry.h"

namespace cubar::softgpu::api {

/// The device of a location. Memory of the host has neither handles nor pools here.
inline device::Device& device_at(Driver& driver, const CUmemLocation& location) {
    require_value(location.type == CU_MEM_LOCATION_TYPE_DEVICE ||
                      location.type == CU_MEM_LOCATION_TYPE_HOST ||
                      location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA ||
                      location.type == CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT,
                  "no such kind of location");
    require(location.type == CU_MEM_LOCATION_TYPE_DEVICE, CUDA_ERROR_NOT_SUPPORTED,
            "the host's own memory");
    return driver.device(location.id);
}

/// What is asked of an allocation's type and of handles for other processes.
inline void require_plain(CUmemAllocationType type, unsigned handle_types) {
    require_value(type == CU_MEM_ALLOCATION_TYPE_PINNED || type == CU_MEM_ALLOCATION_TYPE_MANAGED,
                  "no such type of allocation");
    require(type == CU_MEM_ALLOCATION_TYPE_PINNED, CUDA_ERROR_NOT_SUPPORTED, "managed memory");
    require(handle_types == CU_MEM_HANDLE_TYPE_NONE, CUDA_ERROR_NOT_SUPPORTED,
            "handles for other processes");
}

}  // namespace cubar::softgpu::api
