// SPDX-License-Identifier: Apache-2.0
// Pointer attributes, from the ranges that this process was given.
#include <cstring>
#include <optional>
#include <span>

#include "libcuda/call.h"

using namespace cubar::guest;

namespace {

template <typename Value>
CUresult give(void* data, Value value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    std::memcpy(data, bytes.data(), bytes.size());
    return CUDA_SUCCESS;
}

bool gpu_reaches(const MemoryRange& range) {
    return range.on_device() || range.kind == MemoryKind::kPinned;
}

CUmemorytype memory_type(const MemoryRange& range) {
    return range.on_device() ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}

/// One attribute of a known pointer.
CUresult attribute_of(const MemoryRange& range, CUdeviceptr pointer, CUpointer_attribute attribute,
                      void* data) {
    const bool mapped = range.kind == MemoryKind::kMapped;
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_CONTEXT:
            return give(data, pointer_to<CUcontext>(range.context));
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
            return give(data, memory_type(range));
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
            if (!gpu_reaches(range)) return CUDA_ERROR_INVALID_VALUE;
            return give(data, pointer);
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
            if (range.on_gpu_alone()) return CUDA_ERROR_INVALID_VALUE;
            return give(data, pointer);
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
            return give(data, 0u);
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
            return give(data, static_cast<unsigned long long>(range.id));
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
            return give(data, range.kind == MemoryKind::kManaged ? 1u : 0u);
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            return give(data, range.device);
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
            return give(data, 0u);
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
            return give(data, mapped ? range.reservation : range.begin);
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
            return give(data,
                        static_cast<std::size_t>(mapped ? range.reservation_bytes : range.bytes));
        case CU_POINTER_ATTRIBUTE_MAPPED:
            return give(data, gpu_reaches(range) ? 1u : 0u);
        case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
            return give(data, 0ull);
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
            return give(data, 0u);
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
            return give(data, gpu_reaches(range) && range.accessible
                                  ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
                                  : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE);
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
            return give(data, range.kind == MemoryKind::kPooled
                                  ? pointer_to<CUmemoryPool>(range.source)
                                  : CUmemoryPool{});
        case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
            return give(data, static_cast<std::size_t>(range.bytes));
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
            return give(data, range.begin);
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
            return give(data,
                        static_cast<unsigned long long>(mapped ? range.source.bits() : range.id));
        case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
            return give(data, 0u);
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

/// What cuPointerGetAttributes gives for a pointer that is not CUDA's, or an attribute that this
/// one does not have.
CUresult default_value(CUpointer_attribute attribute, void* data) {
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            return give(data, CU_DEVICE_INVALID);
        case CU_POINTER_ATTRIBUTE_CONTEXT:
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
            return give(data, std::uint64_t{0});
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        case CU_POINTER_ATTRIBUTE_MAPPED:
        case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
            return give(data, 0u);
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

std::optional<MemoryRange> range_of(const Process& process, CUdeviceptr pointer) {
    Session* session = process.session();
    return session != nullptr ? session->addresses.find(pointer) : std::nullopt;
}

}  // namespace

CUBAR_API cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (data == nullptr || pointer == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto range = range_of(*process, pointer);
    if (!range && attribute == CU_POINTER_ATTRIBUTE_MAPPED) return give(data, 0u);
    return range ? attribute_of(*range, pointer, attribute, data) : CUDA_ERROR_INVALID_VALUE;
}

CUBAR_API cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data,
                                 CUdeviceptr pointer) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (attributes == nullptr || data == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto range = range_of(*process, pointer);
    for (unsigned index = 0; index < count; ++index) {
        if (data[index] == nullptr) return CUDA_ERROR_INVALID_VALUE;
        if (range &&
            attribute_of(*range, pointer, attributes[index], data[index]) == CUDA_SUCCESS) {
            continue;
        }
        CUBAR_TRY(default_value(attributes[index], data[index]));
    }
    return CUDA_SUCCESS;
}
