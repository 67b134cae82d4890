// SPDX-License-Identifier: Apache-2.0
// Conditional nodes of graphs, and their conditions. A condition is a number of the driver's, which
// kernels get as a parameter; so it crosses as it is, and is taken for one only while the graph is
// there that it was made for.
#include <algorithm>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

void Graphs::add_condition(CUgraphConditionalHandle condition, GraphHandle graph) {
    const std::lock_guard lock(mutex_);
    conditions_.insert_or_assign(condition, graph);
}

bool Graphs::has_condition(CUgraphConditionalHandle condition) {
    const std::lock_guard lock(mutex_);
    const auto found = conditions_.find(condition);
    return found != conditions_.end() && graphs.find(found->second) != nullptr;
}

void Graphs::forget_bodies(GraphNodeHandle node) {
    const std::lock_guard lock(mutex_);
    std::vector<GraphHandle> bodies;
    graphs.for_each([&](GraphHandle handle, const GraphObject& object) {
        if (object.conditional && object.conditional == node) bodies.push_back(handle);
    });
    for (const GraphHandle body : bodies) forget_locked(body);
}

CUresult handle_cuGraphConditionalHandleCreate(
    Session& session, const transport::Record&,
    const wire::cuGraphConditionalHandleCreate::Request& request, std::span<const std::byte>,
    wire::cuGraphConditionalHandleCreate::Reply& reply) {
    CUgraph graph = nullptr;
    CUcontext context = nullptr;
    CUBAR_TRY(session.resolve(request.graph, graph));
    CUBAR_TRY(session.resolve(request.context, context));
    CUgraphConditionalHandle made = 0;
    CUBAR_TRY(ask(session.driver().cuGraphConditionalHandleCreate, &made, graph, context,
                  request.initial, request.flags));
    session.graphs.add_condition(made, request.graph);
    reply.condition = made;
    return CUDA_SUCCESS;
}

CUresult handle_graph_add_conditional(Session& session, const transport::Record&,
                                      const wire::graph_add_conditional::Request& request,
                                      std::span<const std::byte> payload,
                                      wire::graph_add_conditional::Reply& reply) {
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.graph, graph));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.read(session, payload, request.count, request.with_edges != 0));
    if (request.size > std::size(reply.body) || !session.graphs.has_condition(request.condition)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    CUgraphNodeParams parameters{};
    parameters.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    parameters.conditional.handle = request.condition;
    parameters.conditional.type = static_cast<CUgraphConditionalNodeType>(request.kind);
    parameters.conditional.size = request.size;
    CUBAR_TRY(session.resolve(request.context, parameters.conditional.ctx));
    CUgraphNode node = nullptr;
    CUBAR_TRY(ask(session.driver().cuGraphAddNode_v2, &node, graph,
                  static_cast<const CUgraphNode*>(dependencies.nodes()), dependencies.edges(),
                  dependencies.count(), &parameters));
    reply.node = session.graphs.handle_of(node, request.graph);
    bool whole = static_cast<bool>(reply.node);
    for (std::uint32_t index = 0; whole && index < request.size; ++index) {
        const CUgraph body = parameters.conditional.phGraph_out[index];
        reply.body[index] = session.graphs.handle_of(body, {body, request.graph, 0, reply.node});
        whole = static_cast<bool>(reply.body[index]);
    }
    if (whole) return CUDA_SUCCESS;
    session.graphs.forget_bodies(reply.node);
    session.graphs.forget(reply.node);
    ask(session.driver().cuGraphDestroyNode, node);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

}  // namespace cubar::host
