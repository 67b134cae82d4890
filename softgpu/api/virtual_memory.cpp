// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <unistd.h>

#include <bit>
#include <span>

#include "softgpu/api/entry.h"
#include "softgpu/api/memory_location.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Device;
using device::Driver;

namespace {

std::size_t host_page() {
    static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

/// The device that properties ask for.
Device& check(Driver& driver, const CUmemAllocationProp* properties) {
    require_value(properties != nullptr, "a null pointer");
    api::require_plain(properties->type, properties->requestedHandleTypes);
    require_value(properties->win32HandleMetaData == nullptr, "an attribute of another system");
    require(properties->allocFlags.usage == 0, CUDA_ERROR_NOT_SUPPORTED, "sparse arrays");
    require(properties->allocFlags.gpuDirectRDMACapable == 0, CUDA_ERROR_NOT_SUPPORTED,
            "other devices' access");
    return api::device_at(driver, properties->location);
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuMemAddressReserve(CUdeviceptr* address, size_t size,
                                                  size_t alignment, CUdeviceptr wished,
                                                  unsigned long long flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(address != nullptr && size != 0 && flags == 0, "an argument");
        require_value(size % host_page() == 0 && wished % host_page() == 0,
                      "not a multiple of the host's page");
        require_value(alignment == 0 || std::has_single_bit(alignment),
                      "the alignment is not a power of two");
        *address = driver.virtual_memory().reserve(size, alignment, wished);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAddressFree(CUdeviceptr address, size_t size) {
    return entry(__func__,
                 [&](Driver& driver) { driver.virtual_memory().end_reservation(address, size); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size,
                                          const CUmemAllocationProp* properties,
                                          unsigned long long flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && flags == 0, "an argument");
        Device& owner = check(driver, properties);
        CUmemAllocationProp got = *properties;
        got.allocFlags.compressionType = CU_MEM_ALLOCATION_COMP_NONE;  // to ask for more is a hint
        *handle =
            driver.with_reclaim([&] { return driver.virtual_memory().create(owner, size, got); });
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemRelease(CUmemGenericAllocationHandle handle) {
    return entry(__func__, [&](Driver& driver) { driver.virtual_memory().release(handle); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemMap(CUdeviceptr address, size_t size, size_t offset,
                                       CUmemGenericAllocationHandle handle,
                                       unsigned long long flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(offset == 0 && flags == 0, "not zero, as CUDA asks");
        driver.virtual_memory().map(address, size, handle);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemUnmap(CUdeviceptr address, size_t size) {
    return entry(__func__, [&](Driver& driver) {
        driver.virtual_memory().require_whole_mappings(address, size);
        driver.settle_all();
        driver.virtual_memory().unmap(address, size);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemSetAccess(CUdeviceptr address, size_t size,
                                             const CUmemAccessDesc* wanted, size_t count) {
    return entry(__func__, [&](Driver& driver) {
        require_value(wanted != nullptr && count != 0, "nothing to set");
        driver.virtual_memory().require_whole_mappings(address, size);
        bool takes = false;
        for (const CUmemAccessDesc& each : std::span(wanted, count)) {
            api::device_at(driver, each.location);
            require(each.flags != CU_MEM_ACCESS_FLAGS_PROT_READ, CUDA_ERROR_NOT_SUPPORTED,
                    "memory that can only be read");
            require_value(each.flags == CU_MEM_ACCESS_FLAGS_PROT_NONE ||
                              each.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
                          "no such access");
            takes = takes || each.flags == CU_MEM_ACCESS_FLAGS_PROT_NONE;
        }
        if (takes) driver.settle_all();
        for (const CUmemAccessDesc& each : std::span(wanted, count))
            driver.virtual_memory().set_access(address, size, each.location.id,
                                               each.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemGetAccess(unsigned long long* flags,
                                             const CUmemLocation* location, CUdeviceptr address) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags != nullptr && location != nullptr, "a null pointer");
        const Device& asked = api::device_at(driver, *location);
        *flags = driver.virtual_memory().has_access(address, asked.ordinal())
                     ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                     : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    });
}

CUBAR_EXPORT CUresult CUDAAPI
cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                              CUmemAllocationGranularity_flags option) {
    return entry(__func__, [&](Driver& driver) {
        require_value(granularity != nullptr && (option == CU_MEM_ALLOC_GRANULARITY_MINIMUM ||
                                                 option == CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                      "an argument");
        check(driver, properties);
        *granularity = device::kPageSize;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemGetAllocationPropertiesFromHandle(
    CUmemAllocationProp* properties, CUmemGenericAllocationHandle handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(properties != nullptr, "a null pointer");
        *properties = driver.virtual_memory().properties(handle);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle,
                                                          void* address) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr, "a null pointer");
        *handle = driver.virtual_memory().retain(reinterpret_cast<device::Address>(address));
    });
}
