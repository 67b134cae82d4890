// SPDX-License-Identifier: Apache-2.0
// Conditional nodes of graphs, and the conditions that kernels set. The driver's number of a
// condition is the application's, because kernels get it as a parameter.
#include "libcuda/graph_conditional.h"

#include <algorithm>
#include <cstring>

#include "driver/log.h"
#include "libcuda/graph_node.h"

namespace cubar::guest {

CUresult add_conditional(CUgraphNode* out, CUgraph graph_value, const CUgraphNode* dependencies,
                         const CUgraphEdgeData* edges, std::size_t count,
                         CUgraphNodeParams& given) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUDA_CONDITIONAL_NODE_PARAMS& conditional = given.conditional;
    if (out == nullptr || !reserved_words_clear(given)) return CUDA_ERROR_INVALID_VALUE;
    wire::graph_add_conditional::Request request{};
    wire::graph_add_conditional::Reply reply{};
    if (conditional.size > std::size(reply.body)) {
        CUBAR_LOG(kError, "a conditional node with %u graphs: at most %zu are supported",
                  conditional.size, std::size(reply.body));
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, graph_value, request.graph, graph));
    const auto resources = graph->resources;
    Dependencies before;
    CUBAR_TRY(before.take(dependencies, edges, count));
    request.condition = conditional.handle;
    request.context = ContextHandle(bits_of(conditional.ctx));
    request.kind = static_cast<std::uint32_t>(conditional.type);
    request.size = conditional.size;
    request.count = before.count();
    request.with_edges = before.with_edges();
    request.payload_bytes = before.payload_bytes();
    CUBAR_TRY(call_in<wire::graph_add_conditional>(caller, caller.context->handle, {}, request,
                                                   reply, before.payload()));
    const std::span bodies(reply.body, conditional.size);
    // What is added to the bodies is needed by the whole.
    for (const GraphHandle body : bodies) {
        CUBAR_TRY(mirror_graph(*caller.session, body, resources));
    }
    // The array is the driver's, as long as the node lives. It is shown like a parameter.
    const KernelParameter whole{};
    void** shown =
        resources->show_parameters(reply.node, std::span(&whole, 1), std::as_bytes(bodies));
    conditional.phGraph_out = static_cast<CUgraph*>(shown[0]);
    *out = pointer_to<CUgraphNode>(reply.node);
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuGraphConditionalHandleCreate(CUgraphConditionalHandle* out, CUgraph graph_value,
                                         CUcontext context, unsigned int initial,
                                         unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphConditionalHandleCreate::Request request{};
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, graph_value, request.graph, graph));
    request.context = cubar::ContextHandle(bits_of(context));
    request.initial = initial;
    request.flags = flags;
    wire::cuGraphConditionalHandleCreate::Reply reply{};
    CUBAR_TRY(call_in<wire::cuGraphConditionalHandleCreate>(caller, caller.context->handle, {},
                                                            request, reply));
    *out = reply.condition;
    return CUDA_SUCCESS;
}
