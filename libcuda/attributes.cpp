// SPDX-License-Identifier: Apache-2.0
#include "libcuda/attributes.h"

namespace cubar::guest {
namespace {

constexpr const char* kGuestMemory = "the GPU cannot reach the guest's own memory";
constexpr const char* kNotRemoted = "its functions are not remoted";
constexpr const char* kOtherProcess = "handles for other processes do not cross the VM";
constexpr const char* kRdma = "no peer device of the guest reaches the GPU";
constexpr const char* kNuma = "host NUMA nodes mean nothing in the guest";

constexpr AttributeRule kRules[] = {
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_ONLY_PARTIAL_HOST_NATIVE_ATOMIC_SUPPORTED, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 0, kGuestMemory},
    {CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_HOST_ALLOC_DMA_BUF_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_HANDLE_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MULTINODE_IPC_SUPPORTED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_MPS_ENABLED, 0, kOtherProcess},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_D3D12_CIG_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_VULKAN_CIG_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_ALGORITHM_MASK, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_MAXIMUM_LENGTH, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0, kNotRemoted},
    {CU_DEVICE_ATTRIBUTE_NUMA_CONFIG, CU_DEVICE_NUMA_CONFIG_NONE, kNuma},
    {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1, kNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1, kNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0, kNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MEMORY_POOLS_SUPPORTED, 0, kNuma},
};

}  // namespace

const AttributeRule* attribute_rule(CUdevice_attribute attribute) {
    for (const AttributeRule& rule : kRules) {
        if (rule.attribute == attribute) return &rule;
    }
    return nullptr;
}

CUresult device_attribute(const DeviceFacts& facts, const transport::Device& device,
                          CUdevice_attribute attribute, int& value) {
    const auto index = static_cast<std::size_t>(attribute);
    if (index >= kDeviceAttributes || facts.attribute_known[index] == 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const AttributeRule* rule = attribute_rule(attribute);
    value = rule != nullptr ? rule->value : facts.attribute[index];
    // Pinned and managed memory lie in the arena. Where the guest can only map that uncached, the
    // one is staged and out of the GPU's sight, and the other does not exist.
    if ((attribute == CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY ||
         attribute == CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY) &&
        device.memory_type() != transport::MemoryType::kWriteBack) {
        value = 0;
    }
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest
