// SPDX-License-Identifier: Apache-2.0
// What nodes of graphs say of themselves.
#include <cstring>

#include "libcuda/graph_node.h"
#include "libcuda/kernel.h"

namespace cubar::guest {

CUresult ask_node(const Caller& caller, CUgraphNode node, NodeInfo& out) {
    wire::graph_node_parameters::Request request{};
    CUBAR_TRY(handle_of(node, request.node));
    wire::graph_node_parameters::Reply reply{};
    do {
        request.first = static_cast<std::uint32_t>(out.bytes.size());
        CUBAR_TRY(call_in<wire::graph_node_parameters>(caller, caller.thread->current(), {},
                                                       request, reply));
        const auto part = std::as_bytes(std::span(reply.data)).first(reply.bytes);
        out.bytes.insert(out.bytes.end(), part.begin(), part.end());
    } while (reply.bytes != 0 && out.bytes.size() < reply.total);
    out.type = static_cast<CUgraphNodeType>(reply.type);
    out.graph = reply.graph;
    return CUDA_SUCCESS;
}

std::shared_ptr<GraphResources> resources_of(const Caller& caller, GraphHandle graph) {
    const Graph* known = caller.session->graphs.find(graph);
    return known != nullptr ? known->resources : nullptr;
}

namespace {

struct Asked {
    Caller caller;
    NodeInfo info;
};

/// Asks about a node that must be of the type, and have the parameters that `part` takes.
template <typename Part>
CUresult ask(CUgraphNode node, CUgraphNodeType type, const void* out, Asked& asked, Part& part) {
    CUBAR_TRY(enter(asked.caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(ask_node(asked.caller, node, asked.info));
    return asked.info.type == type && asked.info.read(part) ? CUDA_SUCCESS
                                                            : CUDA_ERROR_INVALID_VALUE;
}

/// Names what a node launches: a function, or a kernel where the structure has a place for one.
template <typename Shown>
CUresult show_callee(const Caller& caller, FunctionHandle handle, Shown& out,
                     const KernelFacts*& facts) {
    Session& session = *caller.session;
    if (handle.kind() == Kind::kKernel) {
        const KernelHandle kernel_handle(handle.bits());
        Kernel* kernel = session.kernels.find(kernel_handle);
        if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
        facts = kernel->facts;
        if constexpr (requires { out.kern; }) {
            out.kern = pointer_to<CUkernel>(kernel_handle);
            return CUDA_SUCCESS;
        }
        CUBAR_TRY(function_of(caller, *kernel, kernel_handle, handle));
    }
    const Function* function = session.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    facts = function->facts;
    out.func = pointer_to<CUfunction>(handle);
    return CUDA_SUCCESS;
}

/// Shows the parameters of a launch; they stay where they are until the node is asked again.
template <typename Shown>
CUresult show_kernel(CUgraphNode node, Shown* out) {
    Asked asked;
    node::Kernel kernel{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_KERNEL, out, asked, kernel));
    const auto resources = resources_of(asked.caller, asked.info.graph);
    if (resources == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *out = {};
    const KernelFacts* facts = nullptr;
    CUBAR_TRY(show_callee(asked.caller, kernel.function, *out, facts));
    out->gridDimX = kernel.grid[0];
    out->gridDimY = kernel.grid[1];
    out->gridDimZ = kernel.grid[2];
    out->blockDimX = kernel.block[0];
    out->blockDimY = kernel.block[1];
    out->blockDimZ = kernel.block[2];
    out->sharedMemBytes = kernel.shared_bytes;
    out->kernelParams = resources->show_parameters(
        GraphNodeHandle(bits_of(node)), facts->parameters,
        std::span<const std::byte>(asked.info.bytes).subspan(sizeof kernel));
    return CUDA_SUCCESS;
}

CUresult show_event(CUgraphNode node, CUgraphNodeType type, CUevent* out) {
    Asked asked;
    node::Event event{};
    CUBAR_TRY(ask(node, type, out, asked, event));
    *out = pointer_to<CUevent>(event.event);
    return CUDA_SUCCESS;
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace node_wire = cubar::node;

CUBAR_API cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    NodeInfo info;
    CUBAR_TRY(ask_node(caller, node, info));
    *type = info.type;
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* out) {
    return show_kernel(node, out);
}
CUBAR_API cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* out) {
    return show_kernel(node, out);
}

CUBAR_API cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* out) {
    Asked asked;
    node_wire::Memcpy copy{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_MEMCPY, out, asked, copy));
    const auto resources = resources_of(asked.caller, asked.info.graph);
    // The host knows the stand-ins alone.
    if (resources == nullptr ||
        !resources->find_copy(cubar::GraphNodeHandle(bits_of(node)), *out)) {
        *out = copy.copy;
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* out) {
    Asked asked;
    node_wire::Memset memset{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_MEMSET, out, asked, memset));
    *out = {memset.address,       memset.pitch, memset.value,
            memset.element_bytes, memset.width, memset.height};
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* out) {
    Asked asked;
    node_wire::Host host{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_HOST, out, asked, host));
    const HostCall call = asked.caller.session->host_calls.find(host.call);
    *out = {call.function, call.data};
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphBatchMemOpNodeGetParams(CUgraphNode node, CUDA_BATCH_MEM_OP_NODE_PARAMS* out) {
    Asked asked;
    node_wire::BatchMemOp batch{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, out, asked, batch));
    const auto resources = resources_of(asked.caller, asked.info.graph);
    const auto operations = std::span<const std::byte>(asked.info.bytes).subspan(sizeof batch);
    if (resources == nullptr || operations.size() / sizeof *out->paramArray != batch.count) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *out = {pointer_to<CUcontext>(batch.context), batch.count, nullptr, batch.flags};
    if (batch.count == 0) return CUDA_SUCCESS;
    // They are shown as a whole, and stay until the node is asked again.
    const KernelParameter whole{};
    void** shown = resources->show_parameters(cubar::GraphNodeHandle(bits_of(node)),
                                              std::span(&whole, 1), operations);
    out->paramArray = static_cast<CUstreamBatchMemOpParams*>(shown[0]);
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* out) {
    return show_event(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, out);
}
CUBAR_API cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* out) {
    return show_event(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, out);
}

CUBAR_API cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* out) {
    Asked asked;
    node_wire::Child child{};
    CUBAR_TRY(ask(node, CU_GRAPH_NODE_TYPE_GRAPH, out, asked, child));
    auto resources = resources_of(asked.caller, asked.info.graph);
    if (resources == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // What is added to the inner graph is needed by the whole.
    CUBAR_TRY(mirror_graph(*asked.caller.session, child.graph, std::move(resources)));
    *out = pointer_to<CUgraph>(child.graph);
    return CUDA_SUCCESS;
}
