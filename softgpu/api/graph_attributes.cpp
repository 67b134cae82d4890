// SPDX-License-Identifier: Apache-2.0
// Attributes of kernel nodes.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <span>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/launch_attributes.h"
#include "softgpu/device/launch.h"

using namespace cubar::softgpu;
using api::graph_entry;
using api::node_of;
using api::require_value;
using device::Graphs;
using device::NodeRef;
using device::PreparedLaunch;

namespace {

const PreparedLaunch& launch_of(const device::Node& node) {
    require_value(node.type() == CU_GRAPH_NODE_TYPE_KERNEL, "not a kernel's node");
    return static_cast<const PreparedLaunch&>(*node.work());
}

/// Others are of launches and streams only.
bool is_of_nodes(CUkernelNodeAttrID id) {
    switch (id) {
        case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        case CU_LAUNCH_ATTRIBUTE_PRIORITY:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
        case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            return true;
        default:
            return false;
    }
}

/// What it is where nobody has set it.
CUkernelNodeAttrValue initial(CUkernelNodeAttrID id) {
    CUkernelNodeAttrValue value{};
    if (id == CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE)
        value.clusterSchedulingPolicyPreference = CU_CLUSTER_SCHEDULING_POLICY_DEFAULT;
    if (id == CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP) value.memSyncDomainMap.remote = 1;
    return value;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphKernelNodeGetAttribute(CUgraphNode handle,
                                                            CUkernelNodeAttrID id,
                                                            CUkernelNodeAttrValue* value) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(value != nullptr && is_of_nodes(id), "an argument");
        const NodeRef node = node_of(graphs, handle);
        const PreparedLaunch& launch = launch_of(*node);
        const auto found =
            std::find_if(launch.attributes().begin(), launch.attributes().end(),
                         [&](const CUlaunchAttribute& each) { return each.id == id; });
        *value = found != launch.attributes().end() ? found->value : initial(id);
        // A cooperative launch may be one without the attribute: cuLaunchCooperativeKernel.
        if (id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
            value->cooperative = launch.config().cooperative ? 1 : 0;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphKernelNodeSetAttribute(CUgraphNode handle,
                                                            CUkernelNodeAttrID id,
                                                            const CUkernelNodeAttrValue* value) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(value != nullptr && is_of_nodes(id), "an argument");
        CUlaunchAttribute attribute{};
        attribute.id = id;
        attribute.value = *value;
        api::read_attributes(std::span(&attribute, 1));
        const NodeRef node = node_of(graphs, handle);
        node->set_work(launch_of(*node).with(attribute));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        const NodeRef target = node_of(graphs, to);
        const NodeRef source = node_of(graphs, from);
        // Held, since both may be one and the same node.
        const device::WorkRef original = source->work();
        const PreparedLaunch& launch = launch_of(*source);
        launch_of(*target);
        CUlaunchAttribute cooperative{};
        cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        cooperative.value.cooperative = launch.config().cooperative ? 1 : 0;
        device::WorkRef changed = launch_of(*target).with(cooperative);
        for (const CUlaunchAttribute& each : launch.attributes())
            changed = static_cast<const PreparedLaunch&>(*changed).with(each);
        target->set_work(std::move(changed));
    });
}
