// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "softgpu/device/graph_user_object.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

class Condition;
class Graph;
class Node;

using ConditionRef = std::shared_ptr<Condition>;

/// One end of an edge: the other node, and what the edge says.
struct Dependency {
    Node* node = nullptr;
    CUgraphEdgeData data{};

    [[nodiscard]] bool plain() const;
    [[nodiscard]] bool operator==(const Dependency& other) const;
};

/// A node of a graph. It lives as long as its graph has it.
class Node : public std::enable_shared_from_this<Node> {
public:
    Node(Graph& graph, WorkRef work, std::uint64_t origin);

    [[nodiscard]] Graph& graph() const { return graph_; }
    /// Unique in the process.
    [[nodiscard]] std::uint64_t id() const { return id_; }
    /// The id of the node that this one was cloned from, or 0.
    [[nodiscard]] std::uint64_t origin() const { return origin_; }
    [[nodiscard]] const WorkRef& work() const { return work_; }
    [[nodiscard]] CUgraphNodeType type() const { return work_->type(); }
    /// In the order in which they were added.
    [[nodiscard]] const std::vector<Dependency>& dependencies() const { return dependencies_; }

    /// Of the same type as before.
    void set_work(WorkRef work);

    /// A disabled node of an executable graph is as good as an empty one.
    bool enabled = true;
    CUgraphNode handle = nullptr;  ///< null until it is asked for
    /// What cuGraph…NodeGetParams pointed to; lives until the parameters change.
    std::vector<void*> shown_pointers;
    std::vector<CUstreamBatchMemOpParams> shown_operations;
    std::vector<CUgraph> shown_graphs;  ///< of a conditional node: the array that its maker got

private:
    friend class Graph;

    Graph& graph_;
    const std::uint64_t id_;
    const std::uint64_t origin_;
    WorkRef work_;
    std::vector<Dependency> dependencies_;
};

using NodeRef = std::shared_ptr<Node>;

/// Operations and their order. The structure is guarded by Graphs::mutex.
class Graph {
public:
    enum class Owner : std::uint8_t {
        kCaller,  ///< ends by cuGraphDestroy
        kNode,    ///< of a child graph, a clone: ends with the node
        kMoved,   ///< the same, and was the caller's before
        kBody,    ///< of a conditional node: ends with the node
    };

    explicit Graph(Owner initial = Owner::kCaller) : owner(initial) {}
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    /// In the order in which they were added.
    [[nodiscard]] const std::vector<NodeRef>& nodes() const { return nodes_; }
    /// Each node with what it depends on.
    [[nodiscard]] std::size_t edge_count() const;

    /// Throws CUDA_ERROR_INVALID_VALUE for dependencies that are twice there, of another graph, or
    /// say what no edge may, and for nodes that this graph cannot have.
    NodeRef add(WorkRef work, std::span<const Dependency> dependencies);
    /// The node's edges go with it.
    void remove(const Node& node);
    /// Throws CUDA_ERROR_INVALID_VALUE. Cycles are found by order().
    void add_dependency(Node& to, const Dependency& from);
    void remove_dependency(Node& to, const Dependency& from);

    /// All nodes, each after those that it depends on and else as they were added; fewer when there
    /// is a cycle.
    [[nodiscard]] std::vector<Node*> order() const;
    /// What depends on a node, in the order of the edges.
    [[nodiscard]] std::vector<Dependency> dependents(const Node& node) const;
    /// The nodes on which no other depends.
    [[nodiscard]] std::vector<Node*> exits() const;
    /// True if one of `from` is `node` or comes after it.
    [[nodiscard]] static bool reaches(std::span<const Dependency> from, const Node& node);

    /// True for itself, and for graphs inside of it at any depth.
    [[nodiscard]] bool contains(const Graph& searched) const;
    /// A capture goes into it or into a graph inside of it.
    [[nodiscard]] bool is_captured_into() const;

    /// A copy, with copies of the graphs inside of it.
    [[nodiscard]] std::shared_ptr<Graph> clone(Owner owner) const;
    /// The clone of that node in this graph or, as executable graphs are addressed, in one inside
    /// of it; or null.
    [[nodiscard]] Node* find_clone(const Node& original, bool inside) const;

    Owner owner;
    bool in_body = false;      ///< of a conditional node, or of a child graph there
    bool capturing = false;    ///< a capture goes into it: nothing may be taken out, or be launched
    CUgraph handle = nullptr;  ///< null until it is asked for
    UserObjectReferences user_objects;
    std::vector<ConditionRef> conditions;  ///< that the caller made for it
    std::weak_ptr<const void> instance;    ///< of a graph that can have only one: it

private:
    std::vector<NodeRef> nodes_;
};

using GraphRef = std::shared_ptr<Graph>;

}  // namespace cubar::softgpu::device
