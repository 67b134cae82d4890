// SPDX-License-Identifier: Apache-2.0
// Managed memory lies where host and kernels both find it, and nothing ever migrates.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <bit>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;

namespace {

constexpr unsigned kAttachFlags = CU_MEM_ATTACH_GLOBAL | CU_MEM_ATTACH_HOST | CU_MEM_ATTACH_SINGLE;

void require_managed(Driver& driver, CUdeviceptr address) {
    const device::AllocationRef allocation = driver.memory().find(address);
    require_value(allocation != nullptr && allocation->kind == device::MemoryKind::kManaged,
                  "not managed memory");
}

/// What CUDA answers where CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS is 0.
CUresult refuse_to_migrate(const char* function, CUdeviceptr address) {
    return entry(function, [&](Driver& driver) {
        require_managed(driver, address);
        throw api::Error(CUDA_ERROR_INVALID_DEVICE, "managed memory never migrates");
    });
}

}  // namespace

// Attaching narrows who may use the memory when; everybody may here, at all times.
CUBAR_EXPORT CUresult CUDAAPI cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t,
                                                     unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        api::stream_of(driver, stream);
        require_value((flags & ~kAttachFlags) == 0 && std::has_single_bit(flags),
                      "not one of the ways to attach memory");
        require_managed(driver, address);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPrefetchAsync(CUdeviceptr address, size_t, CUdevice, CUstream) {
    return refuse_to_migrate(__func__, address);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPrefetchAsync_v2(CUdeviceptr address, size_t, CUmemLocation,
                                                    unsigned int, CUstream) {
    return refuse_to_migrate(__func__, address);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAdvise(CUdeviceptr address, size_t, CUmem_advise, CUdevice) {
    return refuse_to_migrate(__func__, address);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAdvise_v2(CUdeviceptr address, size_t, CUmem_advise,
                                             CUmemLocation) {
    return refuse_to_migrate(__func__, address);
}
