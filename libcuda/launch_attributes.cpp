// SPDX-License-Identifier: Apache-2.0
#include "libcuda/call.h"
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
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
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

}  // namespace cubar::guest
