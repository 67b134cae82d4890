// SPDX-License-Identifier: Apache-2.0
// What graphs consist of, and changes of it.
#include <algorithm>
#include <cstring>
#include <vector>

#include "cubar/graph_node.h"
#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// Nodes, or edges with what they say.
struct Listed {
    std::vector<CUgraphNode> from;
    std::vector<CUgraphNode> to;
    std::vector<CUgraphEdgeData> edges;
};

/// Asks for the number, then for as many.
template <typename Ask>
CUresult list(Listed& out, bool pairs, bool with_edges, Ask&& ask_driver) {
    std::size_t count = 0;
    CUBAR_TRY(ask_driver(nullptr, nullptr, nullptr, &count));
    out.from.resize(count);
    if (pairs) out.to.resize(count);
    if (with_edges) out.edges.resize(count);
    if (count == 0) return CUDA_SUCCESS;
    return ask_driver(out.from.data(), out.to.data(), out.edges.data(), &count);
}

CUresult list_graph(const Driver& driver, GraphList what, CUgraph graph, Listed& out) {
    if (what == GraphList::kEdges) {
        return list(
            out, true, true,
            [&](CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges, std::size_t* count) {
                return ask(driver.cuGraphGetEdges_v2, graph, from, to, edges, count);
            });
    }
    const auto function =
        what == GraphList::kRoots ? driver.cuGraphGetRootNodes : driver.cuGraphGetNodes;
    return list(out, false, false,
                [&](CUgraphNode* nodes, CUgraphNode*, CUgraphEdgeData*, std::size_t* count) {
                    return ask(function, graph, nodes, count);
                });
}

CUresult list_node(const Driver& driver, GraphList what, CUgraphNode node, Listed& out) {
    const auto function = what == GraphList::kDependents ? driver.cuGraphNodeGetDependentNodes_v2
                                                         : driver.cuGraphNodeGetDependencies_v2;
    return list(out, false, true,
                [&](CUgraphNode* nodes, CUgraphNode*, CUgraphEdgeData* edges, std::size_t* count) {
                    return ask(function, node, nodes, edges, count);
                });
}

template <typename Request>
CUresult change_edges(Session& session, const Request& request, std::span<const std::byte> payload,
                      auto function) {
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.graph, graph));
    Dependencies from;
    CUBAR_TRY(from.read(session, payload, request.count, request.with_edges != 0));
    Dependencies to;
    CUBAR_TRY(to.read(session, payload.subspan(from.bytes()), request.count, false));
    return ask(function, graph, static_cast<const CUgraphNode*>(from.nodes()),
               static_cast<const CUgraphNode*>(to.nodes()), from.edges(), from.count());
}

}  // namespace

CUresult handle_graph_list(Session& session, const transport::Record&,
                           const wire::graph_list::Request& request, std::span<const std::byte>,
                           wire::graph_list::Reply& reply) {
    const auto what = static_cast<GraphList>(request.what);
    GraphHandle owner = request.graph;
    Listed listed;
    if (request.graph) {
        CUgraph graph = nullptr;
        CUBAR_TRY(session.resolve(request.graph, graph));
        CUBAR_TRY(list_graph(session.driver(), what, graph, listed));
    } else {
        const GraphNodeObject* object = session.graphs.nodes.find(request.node);
        if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
        owner = object->graph;
        CUBAR_TRY(list_node(session.driver(), what, object->node, listed));
    }
    reply.total = static_cast<std::uint32_t>(listed.from.size());
    for (std::size_t index = request.first;
         index < listed.from.size() && reply.count < std::size(reply.from); ++index) {
        const std::uint32_t at = reply.count++;
        reply.from[at] = session.graphs.handle_of(listed.from[index], owner);
        if (!listed.to.empty()) {
            reply.to[at] = session.graphs.handle_of(listed.to[index], owner);
        }
        if (!listed.edges.empty()) {
            std::memcpy(&reply.edge[at], &listed.edges[index], sizeof reply.edge[at]);
        }
    }
    return CUDA_SUCCESS;
}

CUresult handle_cuGraphAddDependencies_v2(Session& session, const transport::Record&,
                                          const wire::cuGraphAddDependencies_v2::Request& request,
                                          std::span<const std::byte> payload,
                                          wire::cuGraphAddDependencies_v2::Reply&) {
    return change_edges(session, request, payload, session.driver().cuGraphAddDependencies_v2);
}

CUresult handle_cuGraphRemoveDependencies_v2(
    Session& session, const transport::Record&,
    const wire::cuGraphRemoveDependencies_v2::Request& request, std::span<const std::byte> payload,
    wire::cuGraphRemoveDependencies_v2::Reply&) {
    return change_edges(session, request, payload, session.driver().cuGraphRemoveDependencies_v2);
}

CUresult handle_cuGraphCreate(Session& session, const transport::Record&,
                              const wire::cuGraphCreate::Request& request,
                              std::span<const std::byte>, wire::cuGraphCreate::Reply& reply) {
    CUgraph graph = nullptr;
    CUBAR_TRY(ask(session.driver().cuGraphCreate, &graph, request.flags));
    reply.phGraph = session.graphs.handle_of(graph, {graph, {}, 0});
    if (reply.phGraph) return CUDA_SUCCESS;
    ask(session.driver().cuGraphDestroy, graph);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuGraphClone(Session& session, const transport::Record&,
                             const wire::cuGraphClone::Request& request, std::span<const std::byte>,
                             wire::cuGraphClone::Reply& reply) {
    CUgraph original = nullptr;
    CUBAR_TRY(session.resolve(request.originalGraph, original));
    CUgraph graph = nullptr;
    CUBAR_TRY(ask(session.driver().cuGraphClone, &graph, original));
    reply.phGraphClone = session.graphs.handle_of(graph, {graph, {}, 0});
    if (reply.phGraphClone) return CUDA_SUCCESS;
    ask(session.driver().cuGraphDestroy, graph);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuGraphNodeFindInClone(Session& session, const transport::Record&,
                                       const wire::cuGraphNodeFindInClone::Request& request,
                                       std::span<const std::byte>,
                                       wire::cuGraphNodeFindInClone::Reply& reply) {
    CUgraphNode original = nullptr;
    CUgraph clone = nullptr;
    CUBAR_TRY(session.resolve(request.hOriginalNode, original));
    CUBAR_TRY(session.resolve(request.hClonedGraph, clone));
    CUgraphNode node = nullptr;
    CUBAR_TRY(ask(session.driver().cuGraphNodeFindInClone, &node, original, clone));
    reply.phNode = session.graphs.handle_of(node, request.hClonedGraph);
    return CUDA_SUCCESS;
}

CUresult handle_cuGraphDestroyNode(Session& session, const transport::Record&,
                                   const wire::cuGraphDestroyNode::Request& request,
                                   std::span<const std::byte>, wire::cuGraphDestroyNode::Reply&) {
    CUgraphNode node = nullptr;
    CUBAR_TRY(session.resolve(request.hNode, node));
    // Another type of node has none.
    CUgraph inner = nullptr;
    ask(session.driver().cuGraphChildGraphNodeGetGraph, node, &inner);
    CUBAR_TRY(ask(session.driver().cuGraphDestroyNode, node));
    session.graphs.forget(request.hNode);
    if (inner != nullptr) session.graphs.forget_inner(inner);
    session.graphs.forget_bodies(request.hNode);
    return CUDA_SUCCESS;
}

CUresult handle_cuUserObjectCreate(Session& session, const transport::Record&,
                                   const wire::cuUserObjectCreate::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuUserObjectCreate::Reply& reply) {
    CUuserObject object = nullptr;
    CUBAR_TRY(ask(session.driver().cuUserObjectCreate, &object, host_call_data(request.call),
                  &HostCalls::host_function, request.references, request.flags));
    reply.object = session.graphs.adopt(object, request.call);
    if (reply.object) return CUDA_SUCCESS;
    ask(session.driver().cuUserObjectRelease, object, request.references);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

}  // namespace cubar::host
