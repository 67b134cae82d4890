// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/launch_attributes.h"

#include "softgpu/api/entry.h"

namespace cubar::softgpu::api {

LaunchForm read_attributes(std::span<const CUlaunchAttribute> attributes) {
    LaunchForm form;
    for (const CUlaunchAttribute& attribute : attributes) {
        const CUlaunchAttributeValue& value = attribute.value;
        switch (attribute.id) {
            case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
                form.cooperative = value.cooperative != 0;
                break;
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
                form.cluster = {value.clusterDim.x, value.clusterDim.y, value.clusterDim.z};
                require_value(form.cluster.x != 0 && form.cluster.y != 0 && form.cluster.z != 0,
                              "a cluster without blocks");
                break;
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
            case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
            case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
                throw Error(CUDA_ERROR_NOT_SUPPORTED, "this launch attribute");
            // Permissions to overlap, and hints: a launch that makes no use of them is right.
            case CU_LAUNCH_ATTRIBUTE_IGNORE:
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
            case CU_LAUNCH_ATTRIBUTE_PRIORITY:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
                break;
            default:
                throw Error(CUDA_ERROR_INVALID_VALUE, "no such launch attribute");
        }
    }
    return form;
}

}  // namespace cubar::softgpu::api
