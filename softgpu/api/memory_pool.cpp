// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "softgpu/api/entry.h"
#include "softgpu/api/graph_parameters.h"
#include "softgpu/api/memory_location.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/capture.h"
#include "softgpu/device/graph_work.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::AllocationRef;
using device::Device;
using device::Driver;
using device::PoolRef;

namespace {

/// In a capture the graph owns the memory, and of the pool only the properties count.
bool captured_allocation(Driver& driver, CUdeviceptr* address, std::size_t size, Device& device,
                         const api::StreamPlace& place) {
    return driver.captures().take(place.stream, [&] {
        CUDA_MEM_ALLOC_NODE_PARAMS parameters{};
        parameters.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
        parameters.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
        parameters.poolProps.location.id = device.ordinal();
        parameters.bytesize = size;
        device::WorkRef work = api::allocation_work(driver, &parameters);
        *address = (*device::allocated_by(*work))->base();
        return work;
    });
}

void allocate(Driver& driver, CUdeviceptr* address, std::size_t size, const PoolRef& pool,
              const api::StreamPlace& place) {
    require_value(address != nullptr && size != 0, "nowhere, or nothing, to allocate");
    if (captured_allocation(driver, address, size, pool->device(), place)) return;
    auto made = pool->allocate(size, place.order(), place.stream);
    if (!made) {
        driver.pools().reclaim();
        made = pool->allocate(size, place.order(), place.stream);
    }
    require(made.has_value(), CUDA_ERROR_OUT_OF_MEMORY, "device memory is exhausted");
    *address = *made;
}

Device& pool_location(Driver& driver, const CUmemLocation* location, CUmemAllocationType type) {
    require_value(location != nullptr, "a null pointer");
    api::require_plain(type, CU_MEM_HANDLE_TYPE_NONE);
    return api::device_at(driver, *location);
}

/// Before anything is read or written through a pointer to an attribute's value.
void require_known(CUmemPool_attribute attribute, const void* value) {
    require_value(value != nullptr, "a null pointer");
    require_value(attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
                      attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH,
                  "no such pool attribute");
}

/// The others are 64 bits wide.
bool is_int(CUmemPool_attribute attribute) {
    return attribute == CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuMemAllocAsync(CUdeviceptr* address, size_t size, CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        allocate(driver, address, size, driver.pools().current(place.context->device()), place);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t size,
                                                      CUmemoryPool pool, CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        allocate(driver, address, size, driver.pools().find(pool), place);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        // What a capture frees is a graph's.
        const auto captured = [&] { return api::free_work(driver, address); };
        if (driver.captures().take(place.stream, captured)) return;
        const AllocationRef allocation = driver.memory().find(address);
        require_value(allocation != nullptr && allocation->base == address,
                      "not the start of an allocation");
        if (const device::GraphBlockRef block = driver.graph_memory().find(address)) {
            driver.graph_memory().free(block, place.order(), place.stream);
            return;
        }
        device::MemoryPool* pool = device::pool_of(*allocation);
        require_value(pool != nullptr, "not allocated in a stream's order");
        pool->free(address, place.order(), place.stream);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolCreate(CUmemoryPool* pool,
                                              const CUmemPoolProps* properties) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pool != nullptr && properties != nullptr, "a null pointer");
        const auto& reserved = properties->reserved;
        require_value(properties->win32SecurityAttributes == nullptr &&
                          std::all_of(std::begin(reserved), std::end(reserved),
                                      [](unsigned char byte) { return byte == 0; }),
                      "a field that must be zero");
        api::require_plain(properties->allocType, properties->handleTypes);
        require(properties->usage == 0, CUDA_ERROR_NOT_SUPPORTED, "decompression by hardware");
        *pool = driver.pools().create(api::device_at(driver, properties->location),
                                      properties->maxSize);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolDestroy(CUmemoryPool pool) {
    return entry(__func__, [&](Driver& driver) { driver.pools().destroy(pool); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool pool, size_t keep) {
    return entry(__func__, [&](Driver& driver) { driver.pools().find(pool)->trim(keep); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool pool,
                                                    CUmemPool_attribute attribute, void* value) {
    return entry(__func__, [&](Driver& driver) {
        require_known(attribute, value);
        driver.pools().find(pool)->set_attribute(
            attribute, is_int(attribute)
                           ? static_cast<std::uint64_t>(*static_cast<const int*>(value))
                           : *static_cast<const cuuint64_t*>(value));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolGetAttribute(CUmemoryPool pool,
                                                    CUmemPool_attribute attribute, void* value) {
    return entry(__func__, [&](Driver& driver) {
        require_known(attribute, value);
        const std::uint64_t found = driver.pools().find(pool)->attribute(attribute);
        if (is_int(attribute))
            *static_cast<int*>(value) = static_cast<int>(found);
        else
            *static_cast<cuuint64_t*>(value) = found;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* wanted,
                                                 size_t count) {
    return entry(__func__, [&](Driver& driver) {
        const PoolRef pool = driver.pools().find(handle);
        require_value(wanted != nullptr && count != 0, "nothing to set");
        for (const CUmemAccessDesc& each : std::span(wanted, count)) {
            const Device& asked = api::device_at(driver, each.location);
            require(&asked == &pool->device(), CUDA_ERROR_INVALID_DEVICE,
                    "one device reaches no other's memory");
            require_value(each.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
                          "a device always reaches its own memory");
        }
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool handle,
                                                 CUmemLocation* location) {
    return entry(__func__, [&](Driver& driver) {
        const PoolRef pool = driver.pools().find(handle);
        require_value(flags != nullptr && location != nullptr, "a null pointer");
        *flags = &api::device_at(driver, *location) == &pool->device()
                     ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                     : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pool != nullptr, "a null pointer");
        *pool = driver.pools().standard(driver.device(ordinal))->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pool != nullptr, "a null pointer");
        *pool = driver.pools().current(driver.device(ordinal))->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool pool) {
    return entry(__func__,
                 [&](Driver& driver) { driver.pools().set_current(driver.device(ordinal), pool); });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemGetDefaultMemPool(CUmemoryPool* pool, CUmemLocation* location,
                                                     CUmemAllocationType type) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pool != nullptr, "a null pointer");
        *pool = driver.pools().standard(pool_location(driver, location, type))->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location,
                                              CUmemAllocationType type) {
    return entry(__func__, [&](Driver& driver) {
        require_value(pool != nullptr, "a null pointer");
        *pool = driver.pools().current(pool_location(driver, location, type))->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type,
                                              CUmemoryPool pool) {
    return entry(__func__, [&](Driver& driver) {
        driver.pools().set_current(pool_location(driver, location, type), pool);
    });
}
