// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "cubar/handle.h"
#include "cubar/handle_table.h"

namespace cubar::host {

struct GraphObject {
    CUgraph graph = nullptr;
    GraphHandle parent;         ///< the graph whose node it is; null: it can be destroyed by itself
    std::uint64_t capture = 0;  ///< the driver's number of the capture that still fills it; 0: none
    GraphNodeHandle conditional;  ///< the node that runs it; null: a child graph, or none inside
};

struct GraphNodeObject {
    CUgraphNode node = nullptr;
    GraphHandle graph;
};

struct GraphExecObject {
    CUgraphExec exec = nullptr;
    GraphHandle graph;  ///< that it was instantiated from; it may be gone
};

struct UserObjectObject {
    CUuserObject object = nullptr;
};

/// The text that the guest is fetching (graph_dot).
struct GraphDrawing {
    std::mutex mutex;
    std::string text;
};

/// The graphs of a session. Nodes, and graphs inside of others, get a handle when the guest asks
/// about them for the first time, and keep it as long as their graph is there. Thread-safe.
class Graphs {
public:
    HandleTable<Kind::kGraph, GraphObject> graphs;
    HandleTable<Kind::kGraphNode, GraphNodeObject> nodes;
    HandleTable<Kind::kGraphExec, GraphExecObject> execs;
    HandleTable<Kind::kUserObject, UserObjectObject> user_objects;
    GraphDrawing drawing;

    // A null handle: the table is full.
    GraphHandle handle_of(CUgraph graph, const GraphObject& facts);
    GraphNodeHandle handle_of(CUgraphNode node, GraphHandle graph);
    GraphExecHandle adopt(CUgraphExec exec, GraphHandle graph);

    /// The graph has become the one of a node of another.
    void moved(GraphHandle graph, GraphHandle into);
    /// The graph that it is a part of, through all parts; itself where it is none.
    GraphHandle whole(GraphHandle graph) const;
    /// What the executable graphs were instantiated from: the bits of graphs' handles.
    std::set<std::uint64_t> instantiated() const;

    /// The graph that the capture has filled; what else it was known by is over.
    GraphHandle captured(CUgraph graph, std::uint64_t capture);
    /// The driver has thrown away the graph of a capture that failed.
    void capture_failed(std::uint64_t capture);

    /// `call`: the guest's number of the function that the driver calls when nobody refers to the
    /// object any more.
    UserObjectHandle adopt(CUuserObject object, std::uint64_t call);
    /// That function is being called, if it is one.
    void user_object_ended(std::uint64_t call);

    /// Before the driver ends them, and may give the next one the same address.
    void forget(GraphHandle graph);
    void forget(GraphNodeHandle node);
    /// The graph of a node that is being destroyed, if it was ever asked about.
    void forget_inner(CUgraph graph);
    /// The same for those that a conditional node runs.
    void forget_bodies(GraphNodeHandle node);

    /// A capture into a graph that the guest named. When that graph has ended meanwhile, the
    /// driver's pointer to it means nothing any more.
    void begin_filling(std::uint64_t capture, GraphHandle graph);
    /// False: the capture is none of those.
    bool find_filling(std::uint64_t capture, GraphHandle& graph);
    void end_filling(std::uint64_t capture);
    /// The graph that an active capture makes or fills, of which the driver says `pointer`.
    /// CUDA_ERROR_INVALID_VALUE: it has ended meanwhile.
    CUresult graph_of(std::uint64_t capture, CUgraph pointer, GraphHandle& graph);

    /// A condition of a graph, as long as the graph is there.
    void add_condition(CUgraphConditionalHandle condition, GraphHandle graph);
    bool has_condition(CUgraphConditionalHandle condition);

private:
    void forget_locked(GraphHandle graph);
    void forget_parts(const std::vector<GraphHandle>& ended);

    mutable std::mutex mutex_;
    std::unordered_map<const void*, AnyHandle> known_;
    std::unordered_map<std::uint64_t, UserObjectHandle> user_objects_by_call_;
    std::unordered_map<CUgraphConditionalHandle, GraphHandle> conditions_;
    std::unordered_map<std::uint64_t, GraphHandle> fillings_;
};

class Session;

/// Nodes and edge data behind a request: `count` handles, then 8 bytes for each if `with_edges`.
class Dependencies {
public:
    CUresult read(Session& session, std::span<const std::byte> payload, std::uint32_t count,
                  bool with_edges);
    CUgraphNode* nodes() { return nodes_.empty() ? nullptr : nodes_.data(); }
    const CUgraphEdgeData* edges() const { return edges_.empty() ? nullptr : edges_.data(); }
    std::size_t count() const { return nodes_.size(); }
    /// That this took of the payload.
    std::size_t bytes() const {
        return nodes_.size() * sizeof(std::uint64_t) + edges_.size() * sizeof(CUgraphEdgeData);
    }

private:
    std::vector<CUgraphNode> nodes_;
    std::vector<CUgraphEdgeData> edges_;
};

}  // namespace cubar::host
