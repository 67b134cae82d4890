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
using device::ContextRef;
using device::Driver;
using device::MemoryKind;

namespace {

/// Rows of pitched memory begin at multiples of this.
constexpr std::size_t kPitchUnit = 512;

bool is_freed_by_mem_free(const Allocation& allocation) {
    return allocation.kind == MemoryKind::kDevice || allocation.kind == MemoryKind::kManaged ||
           allocation.kind == MemoryKind::kPooled || allocation.kind == MemoryKind::kGraph;
}

CUdeviceptr allocate(Driver& driver, const ContextRef& context, std::size_t size, MemoryKind kind,
                     unsigned flags = 0) {
    driver.captures().forbid_unsafe();
    return driver
        .with_reclaim([&] {
            return context->memory().allocate(context->device().heap(), context->owner(), size,
                                              kind, flags);
        })
        ->base;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuMemGetInfo_v2(size_t* available, size_t* total) {
    return entry(__func__, [&](Driver& driver) {
        require_value(available != nullptr && total != nullptr, "a null pointer");
        const ContextRef context = driver.current_healthy();
        *available = context->device().heap().available();
        *total = context->device().heap().capacity();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr* address, size_t size) {
    return entry(__func__, [&](Driver& driver) {
        require_value(address != nullptr && size != 0, "nowhere, or nothing, to allocate");
        *address = allocate(driver, driver.current_healthy(), size, MemoryKind::kDevice);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width,
                                                 size_t height, unsigned int element) {
    return entry(__func__, [&](Driver& driver) {
        require_value(address != nullptr && pitch != nullptr && width != 0 && height != 0,
                      "nowhere, or nothing, to allocate");
        require_value(element == 4 || element == 8 || element == 16, "the element's size");
        require_value(width <= device::Architecture::kMaxPitch, "the row is too wide");
        const ContextRef context = driver.current_healthy();
        const std::size_t row = device::round_up(width, kPitchUnit);
        std::size_t size = 0;
        require(!__builtin_mul_overflow(row, height, &size), CUDA_ERROR_OUT_OF_MEMORY,
                "more than any memory");
        *address = allocate(driver, context, size, MemoryKind::kDevice);
        *pitch = row;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAllocManaged(CUdeviceptr* address, size_t size,
                                                unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(address != nullptr && size != 0, "nowhere, or nothing, to allocate");
        require_value(flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST,
                      "attached to neither all nor the host");
        *address = allocate(driver, driver.current_healthy(), size, MemoryKind::kManaged, flags);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemFree_v2(CUdeviceptr address) {
    return entry(__func__, [&](Driver& driver) {
        const ContextRef context = driver.current_healthy();
        if (address == 0) return;
        driver.captures().forbid_unsafe();
        const AllocationRef allocation = driver.memory().find(address);
        require_value(allocation != nullptr && allocation->base == address &&
                          is_freed_by_mem_free(*allocation),
                      "not the start of an allocation");
        if (allocation->kind == MemoryKind::kGraph) {
            const device::GraphBlockRef block = driver.graph_memory().find(address);
            require_value(block != nullptr, "freed already");
            driver.settle_all();
            driver.graph_memory().free_now(block);
            return;
        }
        if (device::MemoryPool* pool = device::pool_of(*allocation)) {
            driver.settle_all();
            pool->free_now(address);
            return;
        }
        driver.settle(allocation->context);
        // Another thread may have been quicker.
        require_value(driver.memory().remove(address, is_freed_by_mem_free) != nullptr,
                      "freed already");
        context->require_healthy();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* size,
                                                      CUdeviceptr address) {
    return entry(__func__, [&](Driver& driver) {
        driver.current();
        const AllocationRef allocation = driver.memory().find(address);
        require(allocation != nullptr, CUDA_ERROR_NOT_FOUND, "not an address of the device");
        if (base != nullptr) *base = allocation->base;
        if (size != nullptr) *size = allocation->size;
    });
}
