// SPDX-License-Identifier: Apache-2.0
#include "host/worker/launch_attributes.h"

#include <cstring>

#include "host/worker/try.h"

namespace cubar::host {
namespace {

CUresult resolve_event(Session& session, CUevent& event) {
    return session.resolve(EventHandle(reinterpret_cast<std::uint64_t>(event)), event);
}

}  // namespace

CUresult LaunchAttributes::read(Session& session, std::uint32_t count,
                                std::span<const std::byte> payload) {
    static_assert(sizeof(CUlaunchAttributeValue) == kEntryBytes - 8);
    if (count > kMost || payload.size() < count * kEntryBytes) return CUDA_ERROR_INVALID_VALUE;
    count_ = count;
    for (std::uint32_t index = 0; index < count; ++index) {
        const std::byte* entry = payload.data() + index * kEntryBytes;
        CUlaunchAttribute& attribute = attributes_[index];
        std::uint32_t id = 0;
        std::memcpy(&id, entry, sizeof id);
        std::memcpy(&attribute.value, entry + 8, sizeof attribute.value);
        attribute.id = static_cast<CUlaunchAttributeID>(id);
        switch (attribute.id) {
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
                CUBAR_TRY(resolve_event(session, attribute.value.programmaticEvent.event));
                break;
            case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
                CUBAR_TRY(resolve_event(session, attribute.value.launchCompletionEvent.event));
                break;
            case CU_LAUNCH_ATTRIBUTE_IGNORE:
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
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
            // Others could hold pointers.
            default:
                return CUDA_ERROR_NOT_SUPPORTED;
        }
    }
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
