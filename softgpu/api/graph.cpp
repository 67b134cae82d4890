// SPDX-License-Identifier: Apache-2.0
// Graphs as a whole.
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/graph.h"

#include <cuda.h>

#include <algorithm>

#include "softgpu/api/graph_handle.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"

using namespace cubar::softgpu;
using api::graph_entry;
using api::graph_of;
using api::node_of;
using api::require_value;
using device::Graph;
using device::GraphRef;
using device::Graphs;
using device::NodeRef;

CUBAR_EXPORT CUresult CUDAAPI cuGraphCreate(CUgraph* handle, unsigned int flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(handle != nullptr && flags == 0, "an argument");
        *handle = graphs.publish(std::make_shared<Graph>());
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphDestroy(CUgraph handle) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        const GraphRef graph = graph_of(graphs, handle);
        require_value(graph->owner == Graph::Owner::kCaller && !graph->is_captured_into(),
                      "the graph belongs to a node, or is being captured");
        graphs.withdraw(*graph);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphClone(CUgraph* clone, CUgraph original) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(clone != nullptr, "a null pointer");
        const GraphRef graph = graph_of(graphs, original);
        require_value(!device::owns_memory(*graph), "a graph that owns memory cannot be cloned");
        require_value(!device::has_conditional_nodes(*graph),
                      "a graph with conditional nodes cannot be cloned");
        *clone = graphs.publish(graph->clone(Graph::Owner::kCaller));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeFindInClone(CUgraphNode* found, CUgraphNode original,
                                                     CUgraph clone) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(found != nullptr, "a null pointer");
        device::Node* node = graph_of(graphs, clone)->find_clone(*node_of(graphs, original), false);
        require_value(node != nullptr, "the node has no clone there");
        *found = graphs.publish(*node);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphDestroyNode(CUgraphNode handle) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        const NodeRef node = node_of(graphs, handle);
        const auto inside = device::graphs_in(*node->work());
        require_value(!node->graph().capturing && std::none_of(inside.begin(), inside.end(),
                                                               [](const GraphRef& each) {
                                                                   return each->is_captured_into();
                                                               }),
                      "the graph is being captured");
        require_value(!device::owns_memory(node->graph()),
                      "a graph that owns memory keeps its nodes");
        graphs.withdraw(*node);
        node->graph().remove(*node);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(type != nullptr, "a null pointer");
        *type = node_of(graphs, handle)->type();
    });
}
