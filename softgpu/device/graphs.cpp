// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graphs.h"

#include "softgpu/device/graph_condition.h"
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
    for (const ConditionRef& condition : graph.conditions) conditions.erase(condition->handle());
    if (graph.handle != nullptr) graphs.remove(std::exchange(graph.handle, nullptr));
}

void Graphs::withdraw(Node& node) {
    for (const GraphRef& inner : graphs_in(*node.work())) withdraw(*inner);
    if (node.handle != nullptr) nodes.remove(std::exchange(node.handle, nullptr));
}

}  // namespace cubar::softgpu::device
