// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/device/capture.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Address;
using device::Allocation;
using device::AllocationRef;
using device::Driver;
using device::MemoryKind;

namespace {

constexpr unsigned kAllocFlags =
    CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
constexpr unsigned kRegisterFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                    CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;

Address address_of(const void* pointer) {
    return reinterpret_cast<Address>(pointer);
}

void allocate(Driver& driver, void** pointer, std::size_t size, unsigned flags) {
    require_value(pointer != nullptr && size != 0, "nowhere, or nothing, to allocate");
    require_value((flags & ~kAllocFlags) == 0, "unknown flags");
    const auto context = driver.current_healthy();
    driver.captures().forbid_unsafe();
    // With unified addressing all of it is mapped, whether asked for or not.
    const AllocationRef allocation =
        driver.memory().allocate_pinned(context->owner(), size, flags | CU_MEMHOSTALLOC_DEVICEMAP);
    *pointer = reinterpret_cast<void*>(allocation->base);
}

CUresult register_host(const char* function, void* pointer, std::size_t size, unsigned flags) {
    return entry(function, [&](Driver& driver) {
        require_value(pointer != nullptr && size != 0, "nothing to register");
        require_value((flags & ~kRegisterFlags) == 0, "unknown flags");
        require((flags & CU_MEMHOSTREGISTER_IOMEMORY) == 0, CUDA_ERROR_NOT_SUPPORTED,
                "device memory of others");
        const auto context = driver.current_healthy();
        driver.captures().forbid_unsafe();
        driver.memory().register_host(context->owner(), address_of(pointer), size,
                                      flags | CU_MEMHOSTREGISTER_DEVICEMAP);
    });
}

/// Host memory that CUDA knows and that holds this address.
AllocationRef host_memory(Driver& driver, const void* pointer) {
    AllocationRef allocation = driver.memory().find(address_of(pointer));
    require_value(allocation != nullptr && allocation->on_host(), "not page-locked memory");
    return allocation;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuMemAllocHost_v2(void** pointer, size_t size) {
    return entry(__func__, [&](Driver& driver) { allocate(driver, pointer, size, 0); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostAlloc(void** pointer, size_t size, unsigned int flags) {
    return entry(__func__, [&](Driver& driver) { allocate(driver, pointer, size, flags); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemFreeHost(void* pointer) {
    return entry(__func__, [&](Driver& driver) {
        driver.current_healthy();
        if (pointer == nullptr) return;
        driver.captures().forbid_unsafe();
        const auto is_pinned = [](const Allocation& allocation) {
            return allocation.kind == MemoryKind::kPinned;
        };
        const AllocationRef allocation = driver.memory().find(address_of(pointer));
        require_value(allocation != nullptr && allocation->base == address_of(pointer) &&
                          is_pinned(*allocation),
                      "not the start of page-locked memory");
        driver.settle(allocation->context);
        require_value(driver.memory().remove(allocation->base, is_pinned) != nullptr,
                      "freed already");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostRegister(void* pointer, size_t size, unsigned int flags) {
    return register_host(__func__, pointer, size, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostRegister_v2(void* pointer, size_t size, unsigned int flags) {
    return register_host(__func__, pointer, size, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostUnregister(void* pointer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pointer != nullptr, "a null pointer");
        driver.current_healthy();
        driver.captures().forbid_unsafe();
        const auto is_registered = [](const Allocation& allocation) {
            return allocation.kind == MemoryKind::kRegistered;
        };
        const AllocationRef allocation = driver.memory().find(address_of(pointer));
        require(allocation != nullptr && allocation->base == address_of(pointer) &&
                    is_registered(*allocation),
                CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "not the start of registered memory");
        driver.settle(allocation->context);
        require(driver.memory().remove(allocation->base, is_registered) != nullptr,
                CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "unregistered already");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* pointer,
                                                           unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(address != nullptr && pointer != nullptr && flags == 0, "an argument");
        driver.current_healthy();
        host_memory(driver, pointer);
        *address = address_of(pointer);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemHostGetFlags(unsigned int* flags, void* pointer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags != nullptr && pointer != nullptr, "a null pointer");
        driver.current_healthy();
        *flags = host_memory(driver, pointer)->flags;
    });
}
