// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/device/context.h"
#include "softgpu/device/graph.h"

namespace cubar::softgpu::device {

/// Why a graph cannot be executed.
struct Blame {
    CUgraphInstantiateResult result = CUDA_GRAPH_INSTANTIATE_ERROR;
    Node* node = nullptr;  ///< whose fault it is, if it is one's
};

/// An executable graph: a clone of the graph that it was made of, and a plan to run it, which each
/// launch takes as it is. The clone is guarded by Graphs::mutex.
class GraphExec {
public:
    /// Throws CUDA_ERROR_INVALID_VALUE when the graph's structure does not permit it, and says why.
    GraphExec(const Graph& graph, cuuint64_t flags, Blame& blame);

    [[nodiscard]] const Graph& graph() const { return *graph_; }
    [[nodiscard]] cuuint64_t flags() const { return flags_; }
    /// The executable counterpart of a node of the original graph, or null.
    [[nodiscard]] Node* find(const Node& original) const;
    /// After changes of nodes: for launches from now on.
    void plan();
    /// What a launch into a stream that is being captured adds to its graph.
    [[nodiscard]] WorkRef as_node() const;

    struct Plan;
    using PlanRef = std::shared_ptr<const Plan>;
    [[nodiscard]] const PlanRef& current_plan() const { return plan_; }
    /// Runs the nodes in the stream, one after another, and after this graph's earlier launches.
    /// Without Graphs::mutex, because it may have to wait for space in the stream.
    Point launch(Context& context, const StreamRef& stream, const PlanRef& plan);

    CUgraphExec handle = nullptr;

private:
    const GraphRef graph_;
    const cuuint64_t flags_;
    PlanRef plan_;
    std::mutex launch_mutex_;  // over the order of launches
    Point last_;
};

using GraphExecRef = std::shared_ptr<GraphExec>;

}  // namespace cubar::softgpu::device
