// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <cstring>

#include "softgpu/api/entry.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Address;
using device::Allocation;
using device::AllocationRef;
using device::Driver;
using device::MemoryKind;

namespace {

template <class Value>
void put(void* data, Value value) {
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are among the values.
    std::memcpy(data, &value, sizeof value);
}

bool host_can_reach(const Allocation& allocation) {
    return allocation.on_host() || allocation.kind == MemoryKind::kManaged;
}

/// One attribute of memory that CUDA knows. Throws CUDA_ERROR_INVALID_VALUE for one that has no
/// answer.
void get(const Allocation& allocation, Address address, CUpointer_attribute attribute, void* data) {
    const device::Mapping* mapping = device::as_mapping(allocation);
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_CONTEXT:
            return put(data, allocation.context);
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
            return put(data, static_cast<unsigned>(allocation.on_host() ? CU_MEMORYTYPE_HOST
                                                                        : CU_MEMORYTYPE_DEVICE));
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
            return put<CUdeviceptr>(data, address);
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
            require_value(host_can_reach(allocation), "the host has no pointer to this memory");
            return put(data, reinterpret_cast<void*>(address));
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
            return put(data, static_cast<unsigned>(allocation.sync_memops));
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
            return put<unsigned long long>(data, allocation.id);
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
            return put<unsigned long long>(
                data, mapping != nullptr ? mapping->memory->id : allocation.id);
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
            return put(data, static_cast<unsigned>(allocation.kind == MemoryKind::kManaged));
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            return put(data, allocation.device);
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
            return put<CUdeviceptr>(data,
                                    mapping != nullptr ? mapping->reservation : allocation.base);
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
            return put<std::size_t>(
                data, mapping != nullptr ? mapping->reservation_size : allocation.size);
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
            return put<CUdeviceptr>(data, allocation.base);
        case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
            return put<std::size_t>(data, allocation.size);
        case CU_POINTER_ATTRIBUTE_MAPPED:
            return put(data, 1U);
        case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
            return put<unsigned long long>(data, 0);
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
            return put(data, 0U);
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
            return put(data, static_cast<unsigned>(allocation.accessible
                                                       ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
                                                       : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE));
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: {
            const device::MemoryPool* pool = device::pool_of(allocation);
            return put<CUmemoryPool>(data, pool != nullptr ? pool->handle : nullptr);
        }
        default:
            throw api::Error(CUDA_ERROR_INVALID_VALUE, "no such pointer attribute");
    }
}

/// What cuPointerGetAttributes says of memory that CUDA does not know, and of questions that a
/// pointer has no answer to: zeros, and -2 for the device.
void put_unknown(CUpointer_attribute attribute, void* data) {
    constexpr int kNoDevice = -2;
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            return put(data, kNoDevice);
        case CU_POINTER_ATTRIBUTE_CONTEXT:
            return put<CUcontext>(data, nullptr);
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
            return put<CUdeviceptr>(data, 0);
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
            return put<void*>(data, nullptr);
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
            return put<unsigned long long>(data, 0);
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
            return put<std::size_t>(data, 0);
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
            return put<CUmemoryPool>(data, nullptr);
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        case CU_POINTER_ATTRIBUTE_MAPPED:
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
            return put(data, 0U);
        default:
            throw api::Error(CUDA_ERROR_INVALID_VALUE, "no such pointer attribute");
    }
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuPointerGetAttribute(void* data, CUpointer_attribute attribute,
                                                    CUdeviceptr pointer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(data != nullptr && pointer != 0, "a null pointer");
        const AllocationRef allocation = driver.memory().find(pointer);
        if (allocation == nullptr && attribute == CU_POINTER_ATTRIBUTE_MAPPED) return put(data, 0U);
        require_value(allocation != nullptr, "not memory that CUDA knows");
        get(*allocation, pointer, attribute, data);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuPointerGetAttributes(unsigned int count,
                                                     CUpointer_attribute* attributes, void** data,
                                                     CUdeviceptr pointer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(count != 0 && attributes != nullptr && data != nullptr, "a null pointer");
        const AllocationRef allocation = driver.memory().find(pointer);
        for (unsigned i = 0; i < count; ++i) {
            require_value(data[i] != nullptr, "a null pointer");
            const bool no_host_pointer = allocation != nullptr &&
                                         attributes[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER &&
                                         !host_can_reach(*allocation);
            if (allocation == nullptr || no_host_pointer)
                put_unknown(attributes[i], data[i]);
            else
                get(*allocation, pointer, attributes[i], data[i]);
        }
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuPointerSetAttribute(const void* value,
                                                    CUpointer_attribute attribute,
                                                    CUdeviceptr pointer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                      "this attribute cannot be set");
        const AllocationRef allocation = driver.memory().find(pointer);
        require_value(allocation != nullptr && !allocation->on_host(), "not memory of the device");
        unsigned wanted = 0;
        std::memcpy(&wanted, value, sizeof wanted);
        allocation->sync_memops = wanted != 0;
    });
}
