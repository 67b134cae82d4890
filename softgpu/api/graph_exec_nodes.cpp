// SPDX-License-Identifier: Apache-2.0
// Nodes of an executable graph, changed for its next launches. They are named by the nodes of the
// graph that it was made of.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/graph_parameters.h"
#include "softgpu/device/graph_update.h"

using namespace cubar::softgpu;
using api::entry;
using api::exec_node_of;
using api::exec_of;
using api::graph_entry;
using api::require_value;
using device::Driver;
using device::GraphExecRef;
using device::Graphs;
using device::Work;
using device::WorkRef;

namespace {

/// `make` returns the next work from the one before, and is called without the lock.
template <class Make>
CUresult set(const char* function, CUgraphExec exec_handle, CUgraphNode handle, Make make) {
    return entry(function, [&](Driver& driver) {
        Graphs& graphs = driver.graphs();
        WorkRef before;
        {
            std::lock_guard lock(graphs.mutex);
            before = exec_node_of(graphs, *exec_of(graphs, exec_handle), handle).work();
        }
        const WorkRef next = make(driver, before.get());
        std::lock_guard lock(graphs.mutex);
        const GraphExecRef exec = exec_of(graphs, exec_handle);
        device::update_node(*exec, exec_node_of(graphs, *exec, handle), next);
    });
}

/// Empty nodes and the like cannot be disabled; see cuGraphNodeSetEnabled in cuda.h.
device::Node& switchable_node(Graphs& graphs, const device::GraphExec& exec, CUgraphNode handle) {
    device::Node& node = exec_node_of(graphs, exec, handle);
    require_value(node.type() == CU_GRAPH_NODE_TYPE_KERNEL ||
                      node.type() == CU_GRAPH_NODE_TYPE_MEMCPY ||
                      node.type() == CU_GRAPH_NODE_TYPE_MEMSET,
                  "a node that cannot be disabled");
    return node;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecKernelNodeSetParams(
    CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    return set(__func__, exec, node, [&](Driver& driver, const Work* before) {
        require_value(parameters != nullptr, "a null pointer");
        const CUDA_KERNEL_NODE_PARAMS same = api::with_kernel(*parameters);
        return api::kernel_work(driver, &same, before);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecKernelNodeSetParams_v2(
    CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* parameters) {
    return set(__func__, exec, node, [&](Driver& driver, const Work* before) {
        return api::kernel_work(driver, parameters, before);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                             const CUDA_MEMCPY3D* parameters,
                                                             CUcontext context) {
    return set(__func__, exec, node, [&](Driver& driver, const Work*) {
        return api::copy_work(driver, parameters, context);
    });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                               const CUDA_MEMSET_NODE_PARAMS* parameters, CUcontext context) {
    return set(__func__, exec, node, [&](Driver& driver, const Work*) {
        return api::fill_work(driver, parameters, context);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecHostNodeSetParams(
    CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS* parameters) {
    return set(__func__, exec, node,
               [&](Driver&, const Work*) { return api::host_work(parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                                 CUgraph child) {
    return set(__func__, exec, node,
               [&](Driver& driver, const Work*) { return api::child_work(driver, child); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node,
                                                                 CUevent event) {
    return set(__func__, exec, node, [&](Driver& driver, const Work*) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node,
                                                               CUevent event) {
    return set(__func__, exec, node, [&](Driver& driver, const Work*) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecBatchMemOpNodeSetParams(
    CUgraphExec exec, CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
    return set(__func__, exec, node,
               [&](Driver& driver, const Work*) { return api::values_work(driver, parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                                       CUgraphNodeParams* parameters) {
    return set(__func__, exec, node, [&](Driver& driver, const Work* before) {
        require_value(parameters == nullptr || parameters->type != CU_GRAPH_NODE_TYPE_GRAPH ||
                          parameters->graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE,
                      "a graph cannot be moved into an executable one");
        return api::work_of(driver, parameters, before);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeSetEnabled(CUgraphExec handle, CUgraphNode node,
                                                    unsigned int enabled) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        const GraphExecRef exec = exec_of(graphs, handle);
        switchable_node(graphs, *exec, node).enabled = enabled != 0;
        exec->plan();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetEnabled(CUgraphExec handle, CUgraphNode node,
                                                    unsigned int* enabled) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(enabled != nullptr, "a null pointer");
        *enabled = switchable_node(graphs, *exec_of(graphs, handle), node).enabled ? 1 : 0;
    });
}
