// SPDX-License-Identifier: Apache-2.0
// Nodes of graphs and of executable graphs: made and changed. All types travel alike.
#include "libcuda/graph_node.h"

#include "libcuda/capture_rules.h"
#include "libcuda/graph_conditional.h"

namespace cubar::guest {
namespace {

/// What has become of a node's parameters that the host has accepted.
void keep(GraphResources& resources, const NodeParameters& parameters) {
    if (parameters.child != nullptr) resources.include(parameters.child);
    if (parameters.event != nullptr) recorded_by_graph(*parameters.event);
    if (parameters.prints) resources.prints.store(true, std::memory_order_relaxed);
    if (parameters.type == CU_GRAPH_NODE_TYPE_MEM_FREE) {
        resources.memory.store(true, std::memory_order_relaxed);
    }
}
void keep(GraphResources& resources, GraphNodeHandle node, const NodeParameters& parameters) {
    keep(resources, parameters);
    if (parameters.type == CU_GRAPH_NODE_TYPE_MEMCPY) {
        resources.remember_copy(node, parameters.stands_in ? &parameters.copy : nullptr);
    }
}

/// `take(caller, resources, parameters)` reads what the application says of it.
template <typename Take>
CUresult add(const Place& place, Take&& take) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (place.out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    GraphHandle handle;
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, place.graph, handle, graph));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.take(place.dependencies, place.edges, place.count));
    const auto resources = graph->resources;
    NodeParameters parameters;
    CUBAR_TRY(take(caller, *resources, parameters));
    wire::cuGraphAddNode_v2::Reply reply{};
    CUBAR_TRY(send_node(caller, handle, dependencies, parameters, reply));
    keep(*resources, reply.node, parameters);
    *place.out = pointer_to<CUgraphNode>(reply.node);
    return CUDA_SUCCESS;
}

template <typename Take>
CUresult set(CUgraphNode node, Take&& take) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    wire::cuGraphNodeSetParams::Request request{};
    CUBAR_TRY(handle_of(node, request.node));
    NodeInfo info;
    CUBAR_TRY(ask_node(caller, node, info));
    const auto resources = resources_of(caller, info.graph);
    if (resources == nullptr) return CUDA_ERROR_INVALID_VALUE;
    NodeParameters parameters;
    CUBAR_TRY(take(caller, *resources, parameters));
    request.type = parameters.type;
    request.payload_bytes = static_cast<std::uint32_t>(parameters.bytes.size());
    wire::cuGraphNodeSetParams::Reply reply{};
    CUBAR_TRY(call_in<wire::cuGraphNodeSetParams>(caller, caller.context->handle, {}, request,
                                                  reply, parameters.bytes));
    keep(*resources, request.node, parameters);
    return CUDA_SUCCESS;
}

template <typename Take>
CUresult set_in_exec(CUgraphExec exec_value, CUgraphNode node, Take&& take) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    wire::cuGraphExecNodeSetParams::Request request{};
    GraphExec* exec = nullptr;
    CUBAR_TRY(find_exec(caller, exec_value, request.exec, exec));
    CUBAR_TRY(handle_of(node, request.node));
    // What is particular to this executable graph must not become the graph's.
    if (!exec->changed) {
        std::shared_ptr<GraphResources> own(new GraphResources);
        own->include(exec->resources);
        exec->resources = std::move(own);
        exec->changed = true;
    }
    const auto resources = exec->resources;
    NodeParameters parameters;
    CUBAR_TRY(take(caller, *resources, parameters));
    request.type = parameters.type;
    request.payload_bytes = static_cast<std::uint32_t>(parameters.bytes.size());
    wire::cuGraphExecNodeSetParams::Reply reply{};
    CUBAR_TRY(call_in<wire::cuGraphExecNodeSetParams>(caller, caller.context->handle, {}, request,
                                                      reply, parameters.bytes));
    keep(*resources, parameters);
    exec->needs_care.store(resources->needs_care(), std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

// What the functions of each type take, for the three above.

auto kernel(const CUDA_KERNEL_NODE_PARAMS* given) {
    return [given](const Caller& caller, GraphResources&, NodeParameters& out) {
        return given != nullptr ? take_kernel(caller, *given, out) : CUDA_ERROR_INVALID_VALUE;
    };
}
auto kernel(const CUDA_KERNEL_NODE_PARAMS_v1* given) {
    return [given](const Caller& caller, GraphResources&, NodeParameters& out) {
        return given != nullptr ? take_kernel(caller, newest(*given), out)
                                : CUDA_ERROR_INVALID_VALUE;
    };
}
auto copy(const CUDA_MEMCPY3D* given, CUcontext context) {
    return [given, context](const Caller& caller, GraphResources& resources, NodeParameters& out) {
        return given != nullptr ? take_copy(caller, resources, *given, context, out)
                                : CUDA_ERROR_INVALID_VALUE;
    };
}
auto memset(const CUDA_MEMSET_NODE_PARAMS* given, CUcontext context) {
    return [given, context](const Caller&, GraphResources&, NodeParameters& out) {
        return given != nullptr ? take_memset(*given, context, out) : CUDA_ERROR_INVALID_VALUE;
    };
}
auto function(const CUDA_HOST_NODE_PARAMS* given) {
    return [given](const Caller& caller, GraphResources& resources, NodeParameters& out) {
        return given != nullptr ? take_function(caller, resources, *given, out)
                                : CUDA_ERROR_INVALID_VALUE;
    };
}
auto child(CUgraph graph) {
    return [graph](const Caller& caller, GraphResources&, NodeParameters& out) {
        return take_child(caller, graph, false, out);
    };
}
auto event(CUgraphNodeType type, CUevent given) {
    return [type, given](const Caller& caller, GraphResources&, NodeParameters& out) {
        return take_event(caller, type, given, out);
    };
}
auto batch(const CUDA_BATCH_MEM_OP_NODE_PARAMS* given) {
    return [given](const Caller&, GraphResources&, NodeParameters& out) {
        return given != nullptr ? take_batch(*given, out) : CUDA_ERROR_INVALID_VALUE;
    };
}
auto free(CUdeviceptr address) {
    return [address](const Caller& caller, GraphResources&, NodeParameters& out) {
        return take_free(caller, address, out);
    };
}
auto any(const CUgraphNodeParams* given) {
    return [given](const Caller& caller, GraphResources& resources, NodeParameters& out) {
        return given != nullptr ? take_any(caller, resources, *given, out)
                                : CUDA_ERROR_INVALID_VALUE;
    };
}

CUresult add_any(const Place& place, CUgraphNodeParams* given) {
    if (given != nullptr && given->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
        return add_conditional(place.out, place.graph, place.dependencies, place.edges, place.count,
                               *given);
    }
    if (given == nullptr || !reserved_words_clear(*given)) return add(place, any(given));
    if (given->type == CU_GRAPH_NODE_TYPE_MEM_FREE) return add(place, free(given->free.dptr));
    if (given->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC) return add(place, any(given));
    const CUDA_MEM_ALLOC_NODE_PARAMS_v2& alloc = given->alloc;
    CUDA_MEM_ALLOC_NODE_PARAMS wanted{alloc.poolProps, alloc.accessDescs, alloc.accessDescCount,
                                      alloc.bytesize, 0};
    CUBAR_TRY(add_allocation(place, &wanted));
    given->alloc.dptr = wanted.dptr;
    return CUDA_SUCCESS;
}

constexpr auto kRecord = CU_GRAPH_NODE_TYPE_EVENT_RECORD;
constexpr auto kWait = CU_GRAPH_NODE_TYPE_WAIT_EVENT;

}  // namespace

CUresult send_node(const Caller& caller, GraphHandle graph, const Dependencies& dependencies,
                   const NodeParameters& parameters, wire::cuGraphAddNode_v2::Reply& reply) {
    wire::cuGraphAddNode_v2::Request request{};
    request.graph = graph;
    request.type = parameters.type;
    request.count = dependencies.count();
    request.with_edges = dependencies.with_edges();
    const auto front = dependencies.payload();
    std::vector<std::byte> payload(front.begin(), front.end());
    payload.insert(payload.end(), parameters.bytes.begin(), parameters.bytes.end());
    request.payload_bytes = static_cast<std::uint32_t>(payload.size());
    return call_in<wire::cuGraphAddNode_v2>(caller, caller.context->handle, {}, request, reply,
                                            payload);
}

}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuGraphAddKernelNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                               std::size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* given) {
    return add({out, graph, dependencies, nullptr, count}, kernel(given));
}
CUBAR_API cuGraphAddKernelNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                  std::size_t count, const CUDA_KERNEL_NODE_PARAMS* given) {
    return add({out, graph, dependencies, nullptr, count}, kernel(given));
}
CUBAR_API cuGraphAddMemcpyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                               std::size_t count, const CUDA_MEMCPY3D* given, CUcontext context) {
    return add({out, graph, dependencies, nullptr, count}, copy(given, context));
}
CUBAR_API cuGraphAddMemsetNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                               std::size_t count, const CUDA_MEMSET_NODE_PARAMS* given,
                               CUcontext context) {
    return add({out, graph, dependencies, nullptr, count}, memset(given, context));
}
CUBAR_API cuGraphAddHostNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                             std::size_t count, const CUDA_HOST_NODE_PARAMS* given) {
    return add({out, graph, dependencies, nullptr, count}, function(given));
}
CUBAR_API cuGraphAddChildGraphNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                   std::size_t count, CUgraph given) {
    return add({out, graph, dependencies, nullptr, count}, child(given));
}
CUBAR_API cuGraphAddEmptyNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                              std::size_t count) {
    return add({out, graph, dependencies, nullptr, count},
               [](const Caller&, GraphResources&, NodeParameters&) { return CUDA_SUCCESS; });
}
CUBAR_API cuGraphAddEventRecordNode(CUgraphNode* out, CUgraph graph,
                                    const CUgraphNode* dependencies, std::size_t count,
                                    CUevent given) {
    return add({out, graph, dependencies, nullptr, count}, event(kRecord, given));
}
CUBAR_API cuGraphAddEventWaitNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                  std::size_t count, CUevent given) {
    return add({out, graph, dependencies, nullptr, count}, event(kWait, given));
}
CUBAR_API cuGraphAddBatchMemOpNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                   std::size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS* given) {
    return add({out, graph, dependencies, nullptr, count}, batch(given));
}
CUBAR_API cuGraphAddMemFreeNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                std::size_t count, CUdeviceptr address) {
    return add({out, graph, dependencies, nullptr, count}, free(address));
}
CUBAR_API cuGraphAddNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                         std::size_t count, CUgraphNodeParams* given) {
    return add_any({out, graph, dependencies, nullptr, count}, given);
}
CUBAR_API cuGraphAddNode_v2(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                            const CUgraphEdgeData* edges, std::size_t count,
                            CUgraphNodeParams* given) {
    return add_any({out, graph, dependencies, edges, count}, given);
}

CUBAR_API cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* given) {
    return set(node, kernel(given));
}
CUBAR_API cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* given) {
    return set(node, kernel(given));
}
CUBAR_API cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* given) {
    return set(node, copy(given, nullptr));
}
CUBAR_API cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* given) {
    return set(node, memset(given, nullptr));
}
CUBAR_API cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* given) {
    return set(node, function(given));
}
CUBAR_API cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent given) {
    return set(node, event(kRecord, given));
}
CUBAR_API cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent given) {
    return set(node, event(kWait, given));
}
CUBAR_API cuGraphBatchMemOpNodeSetParams(CUgraphNode node,
                                         const CUDA_BATCH_MEM_OP_NODE_PARAMS* given) {
    return set(node, batch(given));
}
CUBAR_API cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams* given) {
    return set(node, any(given));
}

CUBAR_API cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                         const CUDA_KERNEL_NODE_PARAMS_v1* given) {
    return set_in_exec(exec, node, kernel(given));
}
CUBAR_API cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                            const CUDA_KERNEL_NODE_PARAMS* given) {
    return set_in_exec(exec, node, kernel(given));
}
CUBAR_API cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                         const CUDA_MEMCPY3D* given, CUcontext context) {
    return set_in_exec(exec, node, copy(given, context));
}
CUBAR_API cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                         const CUDA_MEMSET_NODE_PARAMS* given, CUcontext context) {
    return set_in_exec(exec, node, memset(given, context));
}
CUBAR_API cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                       const CUDA_HOST_NODE_PARAMS* given) {
    return set_in_exec(exec, node, function(given));
}
CUBAR_API cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph given) {
    return set_in_exec(exec, node, child(given));
}
CUBAR_API cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent given) {
    return set_in_exec(exec, node, event(kRecord, given));
}
CUBAR_API cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent given) {
    return set_in_exec(exec, node, event(kWait, given));
}
CUBAR_API cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                             const CUDA_BATCH_MEM_OP_NODE_PARAMS* given) {
    return set_in_exec(exec, node, batch(given));
}
CUBAR_API cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams* given) {
    return set_in_exec(exec, node, any(given));
}
