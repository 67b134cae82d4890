// SPDX-License-Identifier: Apache-2.0
// What a graph consists of: lists of nodes, and edges.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <vector>

#include "softgpu/api/graph_handle.h"
#include "softgpu/device/graph_work.h"

using namespace cubar::softgpu;
using api::graph_entry;
using api::graph_of;
using api::node_of;
using api::require;
using api::require_value;
using device::Dependency;
using device::Graphs;
using device::Node;
using device::NodeRef;

namespace {

/// Fills the caller's array as CUDA does: a null array asks for the number alone; what is too much
/// of it becomes null.
void show_nodes(Graphs& graphs, const std::vector<Node*>& found, CUgraphNode* nodes,
                size_t* count) {
    require_value(count != nullptr, "a null pointer");
    if (nodes != nullptr) {
        std::fill(nodes, nodes + *count, nullptr);
        for (std::size_t i = 0; i < std::min(*count, found.size()); ++i)
            nodes[i] = graphs.publish(*found[i]);
        *count = std::min(*count, found.size());
    } else {
        *count = found.size();
    }
}

/// The same for a node's neighbours, with the edges' data if there is an array for them.
void show_neighbours(Graphs& graphs, const std::vector<Dependency>& found, CUgraphNode* nodes,
                     CUgraphEdgeData* edges, size_t* count) {
    require_value(count != nullptr && (edges == nullptr || nodes != nullptr), "a null pointer");
    std::vector<Node*> others;
    for (const Dependency& each : found) {
        require(nodes == nullptr || edges != nullptr || each.plain(), CUDA_ERROR_LOSSY_QUERY,
                "there are edges with data");
        others.push_back(each.node);
    }
    show_nodes(graphs, others, nodes, count);
    if (edges == nullptr) return;
    for (std::size_t i = 0; i < *count; ++i) edges[i] = found[i].data;
}

CUresult get_edges(const char* function, CUgraph handle, CUgraphNode* from, CUgraphNode* to,
                   CUgraphEdgeData* data, size_t* count) {
    return graph_entry(function, [&](Graphs& graphs) {
        const auto graph = graph_of(graphs, handle);
        require_value((from == nullptr) == (to == nullptr), "one array of two");
        std::vector<Node*> heads;
        std::vector<Dependency> tails;
        for (const NodeRef& node : graph->nodes())
            for (const Dependency& each : node->dependencies()) {
                heads.push_back(node.get());
                tails.push_back(each);
            }
        size_t heads_shown = count != nullptr ? *count : 0;
        show_neighbours(graphs, tails, from, data, count);
        show_nodes(graphs, heads, to, &heads_shown);
    });
}

CUresult get_dependencies(const char* function, CUgraphNode handle, CUgraphNode* nodes,
                          CUgraphEdgeData* edges, size_t* count) {
    return graph_entry(function, [&](Graphs& graphs) {
        show_neighbours(graphs, node_of(graphs, handle)->dependencies(), nodes, edges, count);
    });
}

CUresult get_dependents(const char* function, CUgraphNode handle, CUgraphNode* nodes,
                        CUgraphEdgeData* edges, size_t* count) {
    return graph_entry(function, [&](Graphs& graphs) {
        const NodeRef node = node_of(graphs, handle);
        show_neighbours(graphs, node->graph().dependents(*node), nodes, edges, count);
    });
}

/// Adds or removes edges: all of them, or none.
CUresult change(const char* function, bool add, CUgraph handle, const CUgraphNode* from,
                const CUgraphNode* to, const CUgraphEdgeData* data, size_t count) {
    return graph_entry(function, [&](Graphs& graphs) {
        const auto graph = graph_of(graphs, handle);
        require_value(add || !device::owns_memory(*graph),
                      "a graph that owns memory keeps its edges");
        const std::vector<Dependency> tails = api::dependencies_of(graphs, from, data, count);
        const std::vector<Dependency> heads = api::dependencies_of(graphs, to, nullptr, count);
        const auto apply = [&](std::size_t i, bool adding) {
            if (adding)
                graph->add_dependency(*heads[i].node, tails[i]);
            else
                graph->remove_dependency(*heads[i].node, tails[i]);
        };
        std::size_t done = 0;
        try {
            for (; done < count; ++done) apply(done, add);
        } catch (const api::Error&) {
            while (done > 0) apply(--done, !add);
            throw;
        }
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        std::vector<Node*> all;
        for (const NodeRef& node : graph_of(graphs, handle)->nodes()) all.push_back(node.get());
        show_nodes(graphs, all, nodes, count);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphGetRootNodes(CUgraph handle, CUgraphNode* nodes,
                                                  size_t* count) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        std::vector<Node*> roots;
        for (const NodeRef& node : graph_of(graphs, handle)->nodes())
            if (node->dependencies().empty()) roots.push_back(node.get());
        show_nodes(graphs, roots, nodes, count);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to,
                                              size_t* count) {
    return get_edges(__func__, graph, from, to, nullptr, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to,
                                                 CUgraphEdgeData* data, size_t* count) {
    return get_edges(__func__, graph, from, to, data, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes,
                                                         size_t* count) {
    return get_dependencies(__func__, node, nodes, nullptr, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* nodes,
                                                            CUgraphEdgeData* edges, size_t* count) {
    return get_dependencies(__func__, node, nodes, edges, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes,
                                                           size_t* count) {
    return get_dependents(__func__, node, nodes, nullptr, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* nodes,
                                                              CUgraphEdgeData* edges,
                                                              size_t* count) {
    return get_dependents(__func__, node, nodes, edges, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from,
                                                     const CUgraphNode* to, size_t count) {
    return change(__func__, true, graph, from, to, nullptr, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from,
                                                        const CUgraphNode* to,
                                                        const CUgraphEdgeData* data, size_t count) {
    return change(__func__, true, graph, from, to, data, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from,
                                                        const CUgraphNode* to, size_t count) {
    return change(__func__, false, graph, from, to, nullptr, count);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from,
                                                           const CUgraphNode* to,
                                                           const CUgraphEdgeData* data,
                                                           size_t count) {
    return change(__func__, false, graph, from, to, data, count);
}
