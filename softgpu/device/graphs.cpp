// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graphs.h"

#include "softgpu/device/graph_work.h"

namespace cubar::softgpu::device {

CUgraph Graphs::publish(const GraphRef& graph) {
    if (graph->handle == nullptr) graph->handle = graphs.insert(graph);
    return graph->handle;
}

CUgraphNode Graphs::publish(Node& node) {
    if (node.handle == nullptr) node.handle = nodes.insert(node.shared_from_this());
    return node.handle;
}

void Graphs::withdraw(Graph& graph) {
    for (const NodeRef& node : graph.nodes()) withdraw(*node);
    if (graph.handle != nullptr) graphs.remove(std::exchange(graph.handle, nullptr));
}

void Graphs::withdraw(Node& node) {
    if (const ChildWork* child = child_of(*node.work())) withdraw(*child->graph());
    if (node.handle != nullptr) nodes.remove(std::exchange(node.handle, nullptr));
}

}  // namespace cubar::softgpu::device
