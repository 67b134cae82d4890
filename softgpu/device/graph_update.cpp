// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph_update.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "softgpu/device/copy.h"
#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"
#include "softgpu/device/fill.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/launch.h"
#include "softgpu/device/memory_value.h"

namespace cubar::softgpu::device {
namespace {

/// Which node of an executable graph gets which work.
using Changes = std::vector<std::pair<Node*, WorkRef>>;

UpdateResult pair_graphs(const GraphExec& exec, const Graph& old, const Graph& next,
                         Changes* changes);

int priority_of(const PreparedLaunch& launch) {
    for (const CUlaunchAttribute& each : launch.attributes())
        if (each.id == CU_LAUNCH_ATTRIBUTE_PRIORITY) return each.value.priority;
    return 0;
}

CUgraphExecUpdateResult compare_launches(const GraphExec& exec, const PreparedLaunch& old,
                                         const PreparedLaunch& next) {
    if (old.context() != next.context())
        return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
    const bool by_priority = (exec.flags() & CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY) != 0;
    if (old.config().cooperative != next.config().cooperative ||
        (by_priority && priority_of(old) != priority_of(next)))
        return CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED;
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

/// Memory of the same kind and context; what has been freed meanwhile says nothing.
bool alike(Address old, Address next) {
    const Memory& memory = Driver::get().memory();
    const AllocationRef first = memory.find(old);
    const AllocationRef second = memory.find(next);
    if (first == nullptr || second == nullptr) return true;
    return first->context == second->context && first->on_host() == second->on_host();
}

Address address_of(CUmemorytype type, const void* host, CUdeviceptr device) {
    return type == CU_MEMORYTYPE_HOST ? reinterpret_cast<Address>(host) : device;
}

bool same_memory(const CopyWork& old, const CopyWork& next) {
    const CUDA_MEMCPY3D& a = old.description();
    const CUDA_MEMCPY3D& b = next.description();
    return old.copy().to() == next.copy().to() && old.copy().from() == next.copy().from() &&
           alike(address_of(a.srcMemoryType, a.srcHost, a.srcDevice),
                 address_of(b.srcMemoryType, b.srcHost, b.srcDevice)) &&
           alike(address_of(a.dstMemoryType, a.dstHost, a.dstDevice),
                 address_of(b.dstMemoryType, b.dstHost, b.dstDevice));
}

bool same_shape(const Fill& old, const Fill& next) {
    if (!alike(old.base, next.base) || old.height != next.height) return false;
    return old.height == 1 ||
           (old.width == next.width && old.pitch == next.pitch && old.element == next.element);
}

bool same_operations(const ValuesWork& old, const ValuesWork& next) {
    return std::equal(old.operations().begin(), old.operations().end(), next.operations().begin(),
                      next.operations().end(), [](const auto& a, const auto& b) {
                          return a.kind == b.kind && a.bytes == b.bytes;
                      });
}

template <class Kind>
const Kind& as(const Work& work) {
    return static_cast<const Kind&>(work);
}

UpdateResult compare_conditional(const GraphExec& exec, const ConditionalWork& old,
                                 const ConditionalWork& next, Changes* changes) {
    if (old.kind() != next.kind() || old.bodies().size() != next.bodies().size() ||
        old.condition()->context() != next.condition()->context())
        return {CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED};
    UpdateResult result;
    for (std::size_t i = 0; i < old.bodies().size() && result.good(); ++i)
        result = pair_graphs(exec, *old.bodies()[i], *next.bodies()[i], changes);
    return result;
}

UpdateResult compare(const GraphExec& exec, const Work& old, const Work& next, Changes* changes) {
    if (old.type() != next.type()) return {CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED};
    const auto parameters = [](bool good) {
        return UpdateResult{good ? CU_GRAPH_EXEC_UPDATE_SUCCESS
                                 : CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED};
    };
    switch (old.type()) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
            return {compare_launches(exec, as<PreparedLaunch>(old), as<PreparedLaunch>(next))};
        case CU_GRAPH_NODE_TYPE_MEMCPY:
            return parameters(same_memory(as<CopyWork>(old), as<CopyWork>(next)));
        case CU_GRAPH_NODE_TYPE_MEMSET:
            return parameters(same_shape(as<FillWork>(old).fill(), as<FillWork>(next).fill()));
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
            return parameters(same_operations(as<ValuesWork>(old), as<ValuesWork>(next)));
        case CU_GRAPH_NODE_TYPE_GRAPH:
            return pair_graphs(exec, *child_of(old)->graph(), *child_of(next)->graph(), changes);
        case CU_GRAPH_NODE_TYPE_CONDITIONAL:
            return compare_conditional(exec, *conditional_of(old), *conditional_of(next), changes);
        case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        case CU_GRAPH_NODE_TYPE_MEM_FREE: {
            // Another graph's memory has another address.
            const bool same = allocated_by(old) != nullptr
                                  ? *allocated_by(old) == *allocated_by(next)
                                  : *freed_by(old) == *freed_by(next);
            return {same ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED};
        }
        default:
            return {};
    }
}

/// Pairs the nodes from the exits up, each node's dependencies in the order of its edges.
UpdateResult pair_graphs(const GraphExec& exec, const Graph& old, const Graph& next,
                         Changes* changes) {
    constexpr auto kTopology = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    if (old.nodes().size() != next.nodes().size()) return {kTopology};
    const std::vector<Node*> old_exits = old.exits();
    const std::vector<Node*> next_exits = next.exits();
    if (old_exits.size() != next_exits.size())
        return {kTopology, next_exits.empty() ? nullptr : next_exits.back()};
    std::unordered_map<const Node*, Node*> old_of;
    std::unordered_map<const Node*, Node*> next_of;
    std::vector<Node*> left;
    const auto pair = [&](Node* a, Node* b) {
        const auto known_old = old_of.find(b);
        const auto known_next = next_of.find(a);
        if (known_old == old_of.end() && known_next == next_of.end()) {
            old_of[b] = a;
            next_of[a] = b;
            left.push_back(b);
            return true;
        }
        return known_old != old_of.end() && known_old->second == a;
    };
    for (std::size_t i = 0; i < old_exits.size(); ++i) pair(old_exits[i], next_exits[i]);
    while (!left.empty()) {
        Node* b = left.back();
        Node* a = old_of[b];
        left.pop_back();
        if (a->dependencies().size() != b->dependencies().size()) return {kTopology, b};
        for (std::size_t i = 0; i < a->dependencies().size(); ++i)
            if (!pair(a->dependencies()[i].node, b->dependencies()[i].node))
                return {kTopology, b, b->dependencies()[i].node};
    }
    for (const NodeRef& b : next.nodes()) {
        const auto found = old_of.find(b.get());
        if (found == old_of.end()) return {kTopology, b.get()};
        UpdateResult result = compare(exec, *found->second->work(), *b->work(), changes);
        if (!result.good()) {
            if (result.node == nullptr) result.node = b.get();
            return result;
        }
        // The nodes of graphs inside are changed one by one. Kernels set the new graph's
        // conditions.
        Node* a = found->second;
        if (const ConditionalWork* conditional = conditional_of(*b->work()))
            changes->emplace_back(
                a, std::make_shared<ConditionalWork>(conditional->condition(), conditional->kind(),
                                                     conditional_of(*a->work())->bodies()));
        else if (b->type() != CU_GRAPH_NODE_TYPE_GRAPH)
            changes->emplace_back(a, b->work());
    }
    return {};
}

void make_changes(GraphExec& exec, const Changes& changes) {
    for (const auto& [node, work] : changes) node->set_work(work);
    exec.plan();
}

}  // namespace

UpdateResult update_graph(GraphExec& exec, const Graph& next) {
    Changes changes;
    const UpdateResult result = pair_graphs(exec, exec.graph(), next, &changes);
    if (result.good()) make_changes(exec, changes);
    return result;
}

void update_node(GraphExec& exec, Node& node, const WorkRef& next) {
    Changes changes;
    require_value(compare(exec, *node.work(), *next, &changes).good(),
                  "an executable graph's node cannot be changed like that");
    if (next->type() == CU_GRAPH_NODE_TYPE_MEMCPY) {
        const auto linear = [](const Work& work) {
            const CopyExtent& extent = as<CopyWork>(work).copy().extent();
            return extent.height == 1 && extent.depth == 1 && extent.width != 0;
        };
        require_value(linear(*node.work()) && linear(*next),
                      "only copies of one dimension can be changed");
    }
    if (next->type() == CU_GRAPH_NODE_TYPE_MEMSET)
        require_value(as<FillWork>(*next).fill().width != 0, "an empty fill");
    if (next->type() != CU_GRAPH_NODE_TYPE_GRAPH) changes.emplace_back(&node, next);
    make_changes(exec, changes);
}

}  // namespace cubar::softgpu::device
