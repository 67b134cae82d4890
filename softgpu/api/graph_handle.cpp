// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/graph_handle.h"

namespace cubar::softgpu::api {

device::GraphRef graph_of(device::Graphs& graphs, CUgraph handle) {
    device::GraphRef graph = graphs.graphs.find(handle);
    require_value(graph != nullptr, "no such graph");
    return graph;
}

device::NodeRef node_of(device::Graphs& graphs, CUgraphNode handle) {
    device::NodeRef node = graphs.nodes.find(handle);
    require_value(node != nullptr, "no such node");
    return node;
}

device::GraphExecRef exec_of(device::Graphs& graphs, CUgraphExec handle) {
    device::GraphExecRef exec = graphs.execs.find(handle);
    require_value(exec != nullptr, "no such executable graph");
    return exec;
}

device::Node& exec_node_of(device::Graphs& graphs, const device::GraphExec& exec,
                           CUgraphNode handle) {
    device::Node* node = exec.find(*node_of(graphs, handle));
    require_value(node != nullptr, "the executable graph was not made of this node's graph");
    return *node;
}

std::vector<device::Dependency> dependencies_of(device::Graphs& graphs, const CUgraphNode* nodes,
                                                const CUgraphEdgeData* edges, std::size_t count) {
    require_value(count == 0 || nodes != nullptr, "a null pointer");
    std::vector<device::Dependency> dependencies;
    for (std::size_t i = 0; i < count; ++i)
        dependencies.push_back(
            {node_of(graphs, nodes[i]).get(), edges != nullptr ? edges[i] : CUgraphEdgeData{}});
    return dependencies;
}

}  // namespace cubar::softgpu::api
