// SPDX-License-Identifier: Apache-2.0
// Conditional nodes of graphs, and the values that decide what they run.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "softgpu/device/graph.h"
#include "softgpu/device/work.h"
#include "softgpu/exec/condition.h"

namespace cubar::softgpu::device {

/// What cuGraphConditionalHandleCreate makes. Kernels set its value by the handle. It lives as long
/// as its graph and the nodes that look at it.
class Condition {
public:
    Condition(exec::ConditionTable& table, const GraphRef& graph, CUcontext context,
              unsigned initial, unsigned flags);
    ~Condition();
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

    [[nodiscard]] CUgraphConditionalHandle handle() const { return handle_; }
    /// Null once it is destroyed.
    [[nodiscard]] GraphRef graph() const { return graph_.lock(); }
    [[nodiscard]] CUcontext context() const { return context_; }
    [[nodiscard]] unsigned value() const { return value_->load(std::memory_order_relaxed); }
    /// At the beginning of each launch, where the flags ask for it.
    void begin_launch() const;

private:
    exec::ConditionTable& table_;
    const std::weak_ptr<Graph> graph_;
    const CUcontext context_;
    const unsigned initial_;
    const unsigned flags_;
    const exec::ConditionValue value_;
    const CUgraphConditionalHandle handle_;
};

/// A node that runs one of its graphs, or none, or one of them again and again.
class ConditionalWork final : public Work {
public:
    ConditionalWork(ConditionRef what, CUgraphConditionalNodeType how, std::vector<GraphRef> graphs)
        : Work(CU_GRAPH_NODE_TYPE_CONDITIONAL),
          condition_(std::move(what)),
          kind_(how),
          bodies_(std::move(graphs)) {}

    [[nodiscard]] const ConditionRef& condition() const { return condition_; }
    [[nodiscard]] CUgraphConditionalNodeType kind() const { return kind_; }
    [[nodiscard]] const std::vector<GraphRef>& bodies() const { return bodies_; }

private:
    ConditionRef condition_;
    CUgraphConditionalNodeType kind_;
    std::vector<GraphRef> bodies_;
};

/// The work as a conditional node, or null.
const ConditionalWork* conditional_of(const Work& work);
/// Whether the graph has such nodes: it can neither be copied nor be inside of a child node.
bool has_conditional_nodes(const Graph& graph);
/// Whether a node of the graph, at any depth, looks at the condition.
bool uses(const Graph& graph, const Condition& condition);
/// Whether the graph, or one inside of it, has a condition that no node looks at.
bool has_unused_condition(const Graph& graph);
/// The first node with a kernel in it that is of another context than the condition.
Node* with_foreign_kernel(const Graph& graph);

/// What a node must be, once it belongs to `graph`, for conditional nodes' sake. Throws.
void check_conditional_rules(const Graph& graph, const Work& work);
/// The graph and its child graphs are from now on part of a conditional node's body.
void put_into_body(Graph& graph);

}  // namespace cubar::softgpu::device
