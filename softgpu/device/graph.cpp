// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "softgpu/device/error.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"

namespace cubar::softgpu::device {
namespace {

std::uint64_t next_node_id() {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

/// Edges of other kinds than "after its end" lead from kernels to kernels. What they permit, an
/// earlier start, is not made use of.
void check_edge(const Dependency& from, const Work& to) {
    if (from.plain()) return;
    const CUgraphEdgeData& data = from.data;
    const bool clear = std::all_of(std::begin(data.reserved), std::end(data.reserved),
                                   [](unsigned char byte) { return byte == 0; });
    require_value(clear && data.to_port == 0, "an edge's reserved fields");
    require_value(data.type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC &&
                      (data.from_port == CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC ||
                       data.from_port == CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER),
                  "no such kind of edge");
    require_value(
        from.node->type() == CU_GRAPH_NODE_TYPE_KERNEL && to.type() == CU_GRAPH_NODE_TYPE_KERNEL,
        "such edges lead from kernel to kernel");
}

/// The rules of nodes that allocate or free memory; notes where it is freed.
void take_memory_node(const Graph& graph, const Work& work) {
    const GraphBlockRef* freed = freed_by(work);
    if (freed == nullptr && allocated_by(work) == nullptr) return;
    require_value(graph.owner == Graph::Owner::kCaller, "the graph belongs to a node");
    if (freed == nullptr) return;
    bool own = false;
    for (const NodeRef& node : graph.nodes()) {
        const GraphBlockRef* allocated = allocated_by(*node->work());
        const GraphBlockRef* other = freed_by(*node->work());
        own |= allocated != nullptr && *allocated == *freed;
        require_value(other == nullptr || *other != *freed, "the graph frees it already");
    }
    using FreedIn = GraphBlock::FreedIn;
    const FreedIn where = own ? FreedIn::kOwnGraph : FreedIn::kOtherGraphs;
    FreedIn& known = (*freed)->freed_in;
    require_value(known == FreedIn::kNowhere || known == where,
                  "it is freed by its own graph or by others, not by both");
    known = where;
}

bool depends_on(const std::vector<Dependency>& dependencies, const Node& node) {
    return std::any_of(dependencies.begin(), dependencies.end(),
                       [&](const Dependency& each) { return each.node == &node; });
}

}  // namespace

const ChildWork* child_of(const Work& work) {
    return work.type() == CU_GRAPH_NODE_TYPE_GRAPH ? static_cast<const ChildWork*>(&work) : nullptr;
}

const GraphBlockRef* allocated_by(const Work& work) {
    return work.type() == CU_GRAPH_NODE_TYPE_MEM_ALLOC
               ? &static_cast<const AllocationWork&>(work).block()
               : nullptr;
}

const GraphBlockRef* freed_by(const Work& work) {
    return work.type() == CU_GRAPH_NODE_TYPE_MEM_FREE ? &static_cast<const FreeWork&>(work).block()
                                                      : nullptr;
}

std::span<const GraphRef> graphs_in(const Work& work) {
    if (const ChildWork* child = child_of(work)) return {&child->graph(), 1};
    if (const ConditionalWork* conditional = conditional_of(work)) return conditional->bodies();
    return {};
}

bool owns_memory(const Graph& graph) {
    return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const NodeRef& node) {
        const Work& work = *node->work();
        const ChildWork* child = child_of(work);
        return allocated_by(work) != nullptr || freed_by(work) != nullptr ||
               (child != nullptr && owns_memory(*child->graph()));
    });
}

bool Dependency::plain() const {
    static constexpr CUgraphEdgeData kPlain{};
    return std::memcmp(&data, &kPlain, sizeof data) == 0;
}

bool Dependency::operator==(const Dependency& other) const {
    return node == other.node && std::memcmp(&data, &other.data, sizeof data) == 0;
}

Node::Node(Graph& graph, WorkRef work, std::uint64_t origin)
    : graph_(graph), id_(next_node_id()), origin_(origin), work_(std::move(work)) {}

void Node::set_work(WorkRef work) {
    work_ = std::move(work);
    shown_pointers.clear();
    shown_operations.clear();
}

std::size_t Graph::edge_count() const {
    std::size_t count = 0;
    for (const NodeRef& node : nodes_) count += node->dependencies().size();
    return count;
}

NodeRef Graph::add(WorkRef work, std::span<const Dependency> dependencies) {
    for (std::size_t i = 0; i < dependencies.size(); ++i) {
        require_value(&dependencies[i].node->graph() == this, "a node of another graph");
        check_edge(dependencies[i], *work);
        for (std::size_t j = 0; j < i; ++j)
            require_value(dependencies[i].node != dependencies[j].node, "a dependency given twice");
    }
    check_conditional_rules(*this, *work);
    take_memory_node(*this, *work);
    if (const ChildWork* child = child_of(*work); child != nullptr && in_body)
        put_into_body(*child->graph());
    auto node = std::make_shared<Node>(*this, std::move(work), 0);
    node->dependencies_.assign(dependencies.begin(), dependencies.end());
    nodes_.push_back(node);
    return node;
}

void Graph::remove(const Node& node) {
    for (const NodeRef& other : nodes_)
        std::erase_if(other->dependencies_,
                      [&](const Dependency& each) { return each.node == &node; });
    std::erase_if(nodes_, [&](const NodeRef& each) { return each.get() == &node; });
}

void Graph::add_dependency(Node& to, const Dependency& from) {
    require_value(&to.graph() == this && &from.node->graph() == this, "a node of another graph");
    require_value(&to != from.node, "a node that depends on itself");
    require_value(!depends_on(to.dependencies_, *from.node), "the dependency is there already");
    check_edge(from, *to.work());
    to.dependencies_.push_back(from);
}

void Graph::remove_dependency(Node& to, const Dependency& from) {
    require_value(&to.graph() == this && &from.node->graph() == this, "a node of another graph");
    const auto found = std::find(to.dependencies_.begin(), to.dependencies_.end(), from);
    require_value(found != to.dependencies_.end(), "no such dependency");
    to.dependencies_.erase(found);
}

std::vector<Node*> Graph::order() const {
    // Of the nodes whose dependencies have all been placed, the first that was added goes next.
    std::unordered_map<const Node*, std::size_t> place;
    for (std::size_t i = 0; i < nodes_.size(); ++i) place[nodes_[i].get()] = i;
    std::vector<std::size_t> missing(nodes_.size());
    std::vector<std::vector<std::size_t>> followers(nodes_.size());
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        missing[i] = nodes_[i]->dependencies().size();
        if (missing[i] == 0) ready.push(i);
        for (const Dependency& each : nodes_[i]->dependencies())
            followers[place[each.node]].push_back(i);
    }
    std::vector<Node*> ordered;
    while (!ready.empty()) {
        const std::size_t next = ready.top();
        ready.pop();
        ordered.push_back(nodes_[next].get());
        for (const std::size_t follower : followers[next])
            if (--missing[follower] == 0) ready.push(follower);
    }
    return ordered;
}

std::vector<Dependency> Graph::dependents(const Node& node) const {
    std::vector<Dependency> found;
    for (const NodeRef& other : nodes_)
        for (const Dependency& each : other->dependencies())
            if (each.node == &node) found.push_back({other.get(), each.data});
    return found;
}

std::vector<Node*> Graph::exits() const {
    std::unordered_set<const Node*> needed;
    for (const NodeRef& node : nodes_)
        for (const Dependency& each : node->dependencies()) needed.insert(each.node);
    std::vector<Node*> found;
    for (const NodeRef& node : nodes_)
        if (!needed.contains(node.get())) found.push_back(node.get());
    return found;
}

bool Graph::reaches(std::span<const Dependency> from, const Node& node) {
    std::unordered_set<const Node*> seen;
    std::vector<const Node*> left;
    const auto visit = [&](const Dependency& each) {
        if (seen.insert(each.node).second) left.push_back(each.node);
    };
    for (const Dependency& each : from) visit(each);
    while (!left.empty()) {
        const Node* next = left.back();
        left.pop_back();
        if (next == &node) return true;
        for (const Dependency& each : next->dependencies()) visit(each);
    }
    return false;
}

bool Graph::contains(const Graph& searched) const {
    if (this == &searched) return true;
    for (const NodeRef& node : nodes_)
        for (const GraphRef& inner : graphs_in(*node->work()))
            if (inner->contains(searched)) return true;
    return false;
}

bool Graph::is_captured_into() const {
    if (capturing) return true;
    for (const NodeRef& node : nodes_)
        for (const GraphRef& inner : graphs_in(*node->work()))
            if (inner->is_captured_into()) return true;
    return false;
}

GraphRef Graph::clone(Owner new_owner) const {
    auto copy = std::make_shared<Graph>(new_owner);
    std::unordered_map<const Node*, Node*> copies;
    for (const NodeRef& node : nodes_) {
        // A graph inside can be changed through its handle, so each node has one of its own.
        WorkRef work = node->work();
        if (const auto* child = child_of(*work)) {
            work = std::make_shared<ChildWork>(child->graph()->clone(Owner::kNode));
        } else if (const auto* conditional = conditional_of(*work)) {
            std::vector<GraphRef> bodies;
            for (const GraphRef& body : conditional->bodies())
                bodies.push_back(body->clone(Owner::kBody));
            work = std::make_shared<ConditionalWork>(conditional->condition(), conditional->kind(),
                                                     std::move(bodies));
        }
        auto twin = std::make_shared<Node>(*copy, std::move(work), node->id());
        twin->enabled = node->enabled;
        copies[node.get()] = twin.get();
        copy->nodes_.push_back(std::move(twin));
    }
    for (const NodeRef& node : nodes_)
        for (const Dependency& each : node->dependencies())
            copies[node.get()]->dependencies_.push_back({copies[each.node], each.data});
    copy->user_objects.copy(user_objects);
    return copy;
}

Node* Graph::find_clone(const Node& original, bool inside) const {
    for (const NodeRef& node : nodes_) {
        if (node->origin() == original.id()) return node.get();
        if (!inside) continue;
        for (const GraphRef& inner : graphs_in(*node->work()))
            if (Node* found = inner->find_clone(original, true)) return found;
    }
    return nullptr;
}

}  // namespace cubar::softgpu::device
