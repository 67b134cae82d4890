// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libcuda/call.h"
#include "libcuda/kernel.h"
#include "libcuda/launch.h"

namespace cubar::guest {
namespace {

/// An attribute that names an event carries its handle in place of the pointer.
CUresult check_event(const EventTable& events, CUevent value) {
    return events.find(EventHandle(bits_of(value))) != nullptr ? CUDA_SUCCESS
                                                               : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

void LaunchAttributes::add(CUlaunchAttributeID id, const void* value, std::size_t bytes) {
    std::byte* entry = entries_.data() + count_++ * kEntryBytes;
    const auto number = static_cast<std::uint32_t>(id);
    std::memcpy(entry, &number, sizeof number);
    std::memcpy(entry + 8, value, bytes);
}

CUresult LaunchAttributes::encode(const EventTable& events, const CUlaunchConfig& config) {
    if (config.numAttrs > kMost || (config.numAttrs != 0 && config.attrs == nullptr)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (unsigned index = 0; index < config.numAttrs; ++index) {
        const CUlaunchAttribute& attribute = config.attrs[index];
        switch (attribute.id) {
            case CU_LAUNCH_ATTRIBUTE_IGNORE:
                continue;
            case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
                if (attribute.value.cooperative == 0) continue;
                cooperative_ = true;
                break;
            case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
                return CUDA_ERROR_NOT_SUPPORTED;
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
                CUBAR_TRY(check_event(events, attribute.value.programmaticEvent.event));
                break;
            case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
                CUBAR_TRY(check_event(events, attribute.value.launchCompletionEvent.event));
                break;
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
                const auto& size = attribute.value.clusterDim;
                if (size.x == 0 || size.y == 0 || size.z == 0) return CUDA_ERROR_INVALID_VALUE;
                cluster_ = {size.x, size.y, size.z};
                break;
            }
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
            case CU_LAUNCH_ATTRIBUTE_PRIORITY:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
                break;
            default:
                return CUDA_ERROR_INVALID_VALUE;
        }
        add(attribute.id, &attribute.value, sizeof attribute.value);
    }
    return CUDA_SUCCESS;
}

CUresult LaunchAttributes::check_cluster(const DeviceFacts& device, const KernelFacts& kernel,
                                         const std::uint32_t (&grid)[3]) const {
    constexpr CUfunction_attribute kRequired[] = {CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH,
                                                  CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT,
                                                  CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH};
    // Blocks of a cluster: on every device that has any, and for kernels that forgo some devices.
    constexpr std::uint64_t kPortable = 8, kLargest = 16;
    if (cluster_[0] == 0) return CUDA_SUCCESS;
    const bool one = cluster_[0] == 1 && cluster_[1] == 1 && cluster_[2] == 1;
    if (!one && device.attribute[CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH] == 0) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    std::uint64_t blocks = 1;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        int required = 0;
        const bool is_required = known_attribute(kernel, kRequired[axis], required) && required > 0;
        if (is_required && static_cast<std::uint32_t>(required) != cluster_[axis]) {
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        }
        if (grid[axis] % cluster_[axis] != 0) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        // No product of what is beyond every limit anyway.
        blocks = std::min(blocks, kLargest + 1) * cluster_[axis];
    }
    int larger = 0;
    const bool may_be_larger =
        !known_attribute(kernel, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, larger) ||
        larger != 0;
    return blocks <= (may_be_larger ? kLargest : kPortable) ? CUDA_SUCCESS
                                                            : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

}  // namespace cubar::guest
