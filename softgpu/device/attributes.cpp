// SPDX-License-Identifier: Apache-2.0
// CU_DEVICE_ATTRIBUTE_…: what this device can do, and nothing that it cannot.
#include "softgpu/device/device.h"
#include "softgpu/device/texture_limits.h"

namespace cubar::softgpu::device {
namespace {

/// Facts of the model that no program's result depends on: nominal rates, in kHz.
constexpr int kNominalClock = 1'000'000;

/// Of this machine: the caches behind the device's memory are the processor's.
constexpr int kBusWidth = 64;  // bits

}  // namespace

std::optional<int> Device::attribute(CUdevice_attribute attribute) const {
    const Architecture& arch = architecture_;
    switch (attribute) {
        // Limits of a launch.
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
            return Architecture::kThreadsPerBlock;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
            return Architecture::kMaxBlock[0];
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
            return Architecture::kMaxBlock[1];
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
            return Architecture::kMaxBlock[2];
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
            return Architecture::kMaxGrid[0];
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
            return Architecture::kMaxGrid[1];
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
            return Architecture::kMaxGrid[2];
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
            return Architecture::kSharedPerBlock;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
            return arch.shared_per_block_optin;
        case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK:
            return arch.shared_reserved_per_block;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
            return arch.shared_per_multiprocessor;
        case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
            return Architecture::kRegistersPerBlock;
        case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
            return Architecture::kRegistersPerMultiprocessor;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
            return arch.threads_per_multiprocessor;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
            return arch.blocks_per_multiprocessor;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
            return Architecture::kWarpSize;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
            return kMultiprocessors;
        case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY:
            return Architecture::kConstantMemory;

        // What it is.
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
            return arch.major;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
            return arch.minor;
        case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
            return identity_.pci_domain;
        case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
            return identity_.pci_bus;
        case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
            return identity_.pci_device;
        case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
            return kNominalClock;
        case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
            return kNominalClock;
        case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
            return kBusWidth;
        case CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO:
            return 2;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
            return CU_COMPUTEMODE_DEFAULT;
        case CU_DEVICE_ATTRIBUTE_NUMA_CONFIG:
            return CU_DEVICE_NUMA_CONFIG_NONE;
        case CU_DEVICE_ATTRIBUTE_NUMA_ID:
            return -1;
        case CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID:
            return -1;

        // Memory.
        case CU_DEVICE_ATTRIBUTE_MAX_PITCH:
            return static_cast<int>(Architecture::kMaxPitch);
        case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT:
            return static_cast<int>(kSmallAlignment);
        case CU_DEVICE_ATTRIBUTE_SURFACE_ALIGNMENT:
            return static_cast<int>(kSmallAlignment);
        case CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT:
            return static_cast<int>(kTexturePitchAlignment);
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
            return 1;
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
            return 1;
        case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
            return 1;
        case CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
            return 1;
        // The memory can be shared at any time, but programs take it for a promise that
        // cuMemPrefetchAsync and cuMemAdvise do something.
        case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS:
            return 0;
        case CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST:
            return 1;
        case CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
            return 1;

        // Streams.
        case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
            return 1;
        case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
            return 2;
        case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
            return 1;
        case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
            return 0;
        case CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS:
            return 1;
        case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR:
            return 1;

        case CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS:
            return 0;
        case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
            return 1;
        case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH:
            return arch.has_clusters() ? 1 : 0;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED:
            return 1;
        case CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT:
            return 1;
        case CU_DEVICE_ATTRIBUTE_CAN_TEX2D_GATHER:
            return 1;

        default:
            break;
    }
    if (const auto limit = texture_limit(attribute)) return static_cast<int>(*limit);
    // Everything else that cuda.h names is a feature, or the size of one, that is not there: IPC,
    // compression, interop.
    if (attribute > 0 && attribute < CU_DEVICE_ATTRIBUTE_MAX) return 0;
    return std::nullopt;
}

}  // namespace cubar::softgpu::device
