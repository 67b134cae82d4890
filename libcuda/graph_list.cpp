// SPDX-License-Identifier: Apache-2.0
// Graphs as a whole: made, cloned, listed; and their edges.
#include <algorithm>
#include <bit>

#include "cubar/graph_node.h"
#include "libcuda/graph.h"

namespace cubar::guest {
namespace {

/// Where an application wants nodes or edges; what it does not want is null.
struct Wanted {
    CUgraphNode* from = nullptr;
    CUgraphNode* to = nullptr;
    CUgraphEdgeData* edges = nullptr;
    std::size_t* count = nullptr;
    bool knows_edges = true;  ///< else it can be told of plain ones alone
};

/// CUDA's manner: without arrays the number, else as many as fit, nulls behind the last, and how
/// many there were.
CUresult give(const Wanted& wanted, std::span<const CUgraphNode> from,
              std::span<const CUgraphNode> to, std::span<const CUgraphEdgeData> edges) {
    if (wanted.from == nullptr && wanted.to == nullptr) {
        *wanted.count = from.size();
        return CUDA_SUCCESS;
    }
    if (!wanted.knows_edges && !all_plain(edges)) return CUDA_ERROR_LOSSY_QUERY;
    const std::size_t room = *wanted.count;
    const std::size_t given = std::min(room, from.size());
    for (std::size_t index = 0; index < room; ++index) {
        const bool there = index < given;
        if (wanted.from != nullptr) wanted.from[index] = there ? from[index] : nullptr;
        if (wanted.to != nullptr) wanted.to[index] = there ? to[index] : nullptr;
        if (wanted.edges != nullptr) wanted.edges[index] = there ? edges[index] : CUgraphEdgeData{};
    }
    *wanted.count = given;
    return CUDA_SUCCESS;
}

CUresult list(GraphHandle graph, GraphNodeHandle node, GraphList what, const Wanted& wanted) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (wanted.count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::graph_list::Request request{};
    request.graph = graph;
    request.node = node;
    request.what = static_cast<std::uint32_t>(what);
    wire::graph_list::Reply reply{};
    std::vector<CUgraphNode> from;
    std::vector<CUgraphNode> to;
    std::vector<CUgraphEdgeData> edges;
    do {
        request.first = static_cast<std::uint32_t>(from.size());
        CUBAR_TRY(call_in<wire::graph_list>(caller, caller.thread->current(), {}, request, reply));
        for (std::uint32_t index = 0; index < reply.count; ++index) {
            from.push_back(pointer_to<CUgraphNode>(reply.from[index]));
            to.push_back(pointer_to<CUgraphNode>(reply.to[index]));
            edges.push_back(std::bit_cast<CUgraphEdgeData>(reply.edge[index]));
        }
    } while (reply.count != 0 && from.size() < reply.total);
    return give(wanted, from, to, edges);
}

CUresult list_graph(CUgraph value, GraphList what, const Wanted& wanted) {
    GraphHandle graph;
    CUBAR_TRY(handle_of(value, graph));
    return list(graph, {}, what, wanted);
}

CUresult list_node(CUgraphNode value, GraphList what, const Wanted& wanted) {
    GraphNodeHandle node;
    CUBAR_TRY(handle_of(value, node));
    return list({}, node, what, wanted);
}

/// W adds or removes edges; as many at a time as fit into a record.
template <typename W>
CUresult change_edges(CUgraph value, const CUgraphNode* from, const CUgraphNode* to,
                      const CUgraphEdgeData* edges, std::size_t count) {
    constexpr std::size_t kAtOnce = 1024;
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    typename W::Request request{};
    CUBAR_TRY(handle_of(value, request.graph));
    if (count != 0 && (from == nullptr || to == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t done = 0; done < count; done += kAtOnce) {
        const std::size_t part = std::min(kAtOnce, count - done);
        Dependencies begin;
        Dependencies end;
        CUBAR_TRY(begin.take(from + done, edges != nullptr ? edges + done : nullptr, part));
        CUBAR_TRY(end.take(to + done, nullptr, part));
        std::vector<std::byte> payload(begin.payload().begin(), begin.payload().end());
        payload.insert(payload.end(), end.payload().begin(), end.payload().end());
        request.count = static_cast<std::uint32_t>(part);
        request.with_edges = begin.with_edges();
        request.payload_bytes = static_cast<std::uint32_t>(payload.size());
        typename W::Reply reply{};
        CUBAR_TRY(call_in<W>(caller, caller.thread->current(), {}, request, reply, payload));
    }
    return CUDA_SUCCESS;
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;
using cubar::GraphList;

CUBAR_API cuGraphCreate(CUgraph* out, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphCreate::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuGraphCreate>(caller, caller.thread->current(), {}, {flags, {}}, reply));
    CUBAR_TRY(mirror_graph(*caller.session, reply.phGraph,
                           std::shared_ptr<GraphResources>(new GraphResources)));
    *out = pointer_to<CUgraph>(reply.phGraph);
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphClone(CUgraph* out, CUgraph value) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphClone::Request request{};
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, value, request.originalGraph, graph));
    // What is added to the clone is not the original's, and the other way round.
    std::shared_ptr<GraphResources> own(new GraphResources);
    own->include(graph->resources);
    wire::cuGraphClone::Reply reply{};
    CUBAR_TRY(call_in<wire::cuGraphClone>(caller, caller.thread->current(), {}, request, reply));
    CUBAR_TRY(mirror_graph(*caller.session, reply.phGraphClone, std::move(own)));
    *out = pointer_to<CUgraph>(reply.phGraphClone);
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph clone) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphNodeFindInClone::Request request{};
    CUBAR_TRY(handle_of(original, request.hOriginalNode));
    CUBAR_TRY(handle_of(clone, request.hClonedGraph));
    wire::cuGraphNodeFindInClone::Reply reply{};
    CUBAR_TRY(call_in<wire::cuGraphNodeFindInClone>(caller, caller.thread->current(), {}, request,
                                                    reply));
    *out = pointer_to<CUgraphNode>(reply.phNode);
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphDestroyNode(CUgraphNode node) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    wire::cuGraphDestroyNode::Request request{};
    CUBAR_TRY(handle_of(node, request.hNode));
    wire::cuGraphDestroyNode::Reply reply{};
    return call_in<wire::cuGraphDestroyNode>(caller, caller.thread->current(), {}, request, reply);
}

CUBAR_API cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
    return list_graph(graph, GraphList::kNodes, {nodes, nullptr, nullptr, count});
}
CUBAR_API cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
    return list_graph(graph, GraphList::kRoots, {nodes, nullptr, nullptr, count});
}
CUBAR_API cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, std::size_t* count) {
    return list_graph(graph, GraphList::kEdges, {from, to, nullptr, count, false});
}
CUBAR_API cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to,
                             CUgraphEdgeData* edges, std::size_t* count) {
    return list_graph(graph, GraphList::kEdges, {from, to, edges, count, edges != nullptr});
}
CUBAR_API cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, std::size_t* count) {
    return list_node(node, GraphList::kDependencies, {nodes, nullptr, nullptr, count, false});
}
CUBAR_API cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* nodes,
                                        CUgraphEdgeData* edges, std::size_t* count) {
    return list_node(node, GraphList::kDependencies,
                     {nodes, nullptr, edges, count, edges != nullptr});
}
CUBAR_API cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes, std::size_t* count) {
    return list_node(node, GraphList::kDependents, {nodes, nullptr, nullptr, count, false});
}
CUBAR_API cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* nodes,
                                          CUgraphEdgeData* edges, std::size_t* count) {
    return list_node(node, GraphList::kDependents,
                     {nodes, nullptr, edges, count, edges != nullptr});
}

CUBAR_API cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                    const CUgraphEdgeData* edges, std::size_t count) {
    return change_edges<wire::cuGraphAddDependencies_v2>(graph, from, to, edges, count);
}
CUBAR_API cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                 std::size_t count) {
    return change_edges<wire::cuGraphAddDependencies_v2>(graph, from, to, nullptr, count);
}
CUBAR_API cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from,
                                       const CUgraphNode* to, const CUgraphEdgeData* edges,
                                       std::size_t count) {
    return change_edges<wire::cuGraphRemoveDependencies_v2>(graph, from, to, edges, count);
}
CUBAR_API cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                    std::size_t count) {
    return change_edges<wire::cuGraphRemoveDependencies_v2>(graph, from, to, nullptr, count);
}
