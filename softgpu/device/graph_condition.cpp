// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph_condition.h"

#include <algorithm>

#include "softgpu/device/error.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/launch.h"

namespace cubar::softgpu::device {
namespace {

/// Conditional nodes run what a GPU does by itself.
bool may_be_in_body(const Work& work) {
    switch (work.type()) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
        case CU_GRAPH_NODE_TYPE_MEMCPY:
        case CU_GRAPH_NODE_TYPE_MEMSET:
        case CU_GRAPH_NODE_TYPE_EMPTY:
        case CU_GRAPH_NODE_TYPE_CONDITIONAL:
            return true;
        case CU_GRAPH_NODE_TYPE_GRAPH: {
            const auto& nodes = child_of(work)->graph()->nodes();
            return std::all_of(nodes.begin(), nodes.end(),
                               [](const NodeRef& node) { return may_be_in_body(*node->work()); });
        }
        default:
            return false;
    }
}

bool has_foreign_kernel(const Work& work, CUcontext context) {
    if (work.type() == CU_GRAPH_NODE_TYPE_KERNEL)
        return static_cast<const PreparedLaunch&>(work).context()->handle() != context;
    for (const GraphRef& inner : graphs_in(work))
        for (const NodeRef& node : inner->nodes())
            if (has_foreign_kernel(*node->work(), context)) return true;
    return false;
}

}  // namespace

Condition::Condition(exec::ConditionTable& table, const GraphRef& graph, CUcontext context,
                     unsigned initial, unsigned flags)
    : table_(table),
      graph_(graph),
      context_(context),
      initial_(initial),
      flags_(flags),
      value_(std::make_shared<std::atomic<std::uint32_t>>(initial)),
      handle_(table.add(value_)) {}

Condition::~Condition() {
    table_.remove(handle_);
}

void Condition::begin_launch() const {
    if ((flags_ & CU_GRAPH_COND_ASSIGN_DEFAULT) != 0)
        value_->store(initial_, std::memory_order_relaxed);
}

const ConditionalWork* conditional_of(const Work& work) {
    return work.type() == CU_GRAPH_NODE_TYPE_CONDITIONAL
               ? static_cast<const ConditionalWork*>(&work)
               : nullptr;
}

bool has_conditional_nodes(const Graph& graph) {
    return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const NodeRef& node) {
        return node->type() == CU_GRAPH_NODE_TYPE_CONDITIONAL;
    });
}

bool uses(const Graph& graph, const Condition& condition) {
    return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&](const NodeRef& node) {
        const ConditionalWork* conditional = conditional_of(*node->work());
        if (conditional != nullptr && conditional->condition().get() == &condition) return true;
        const auto inner = graphs_in(*node->work());
        return std::any_of(inner.begin(), inner.end(),
                           [&](const GraphRef& each) { return uses(*each, condition); });
    });
}

bool has_unused_condition(const Graph& graph) {
    for (const ConditionRef& condition : graph.conditions)
        if (!uses(graph, *condition)) return true;
    for (const NodeRef& node : graph.nodes())
        for (const GraphRef& inner : graphs_in(*node->work()))
            if (has_unused_condition(*inner)) return true;
    return false;
}

Node* with_foreign_kernel(const Graph& graph) {
    for (const NodeRef& node : graph.nodes()) {
        const ConditionalWork* conditional = conditional_of(*node->work());
        if (conditional != nullptr &&
            has_foreign_kernel(*conditional, conditional->condition()->context()))
            return node.get();
    }
    return nullptr;
}

void check_conditional_rules(const Graph& graph, const Work& work) {
    require_value(!graph.in_body || may_be_in_body(work),
                  "a conditional node runs kernels, copies, fills and graphs of them only");
    if (const ChildWork* child = child_of(work))
        require_value(!has_conditional_nodes(*child->graph()),
                      "a graph with conditional nodes cannot be a child");
    const ConditionalWork* conditional = conditional_of(work);
    if (conditional == nullptr) return;
    require_value(graph.owner == Graph::Owner::kCaller || graph.owner == Graph::Owner::kBody,
                  "a child graph cannot have conditional nodes");
    const Condition& condition = *conditional->condition();
    const GraphRef home = condition.graph();
    require_value(home != nullptr && home->contains(graph), "the condition is of another graph");
    require_value(!uses(*home, condition), "another node looks at the condition already");
}

void put_into_body(Graph& graph) {
    graph.in_body = true;
    for (const NodeRef& node : graph.nodes())
        if (const ChildWork* child = child_of(*node->work())) put_into_body(*child->graph());
}

}  // namespace cubar::softgpu::device
