// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <mutex>
#include <unordered_map>

#include "softgpu/device/capture.h"
#include "softgpu/device/graph.h"
#include "softgpu/device/graph_exec.h"
#include "softgpu/device/graph_user_object.h"
#include "softgpu/device/handle_table.h"

namespace cubar::softgpu::device {

/// All graphs of the process. CUDA leaves it to callers that two threads do not work on one graph
/// at a time; one mutex over the structure of all of them keeps the driver whole all the same.
struct Graphs {
    std::mutex mutex;
    Captures captures{*this};

    HandleTable<Graph, CUgraph, HandleKind::kGraph> graphs;
    HandleTable<Node, CUgraphNode, HandleKind::kGraphNode> nodes;
    HandleTable<GraphExec, CUgraphExec, HandleKind::kGraphExec> execs;
    HandleTable<UserObject, CUuserObject, HandleKind::kUserObject> user_objects;
    /// With the mutex held.
    std::unordered_map<CUgraphConditionalHandle, ConditionRef> conditions;

    // With the mutex held. Handles are given when they are asked for, and end with their object.
    CUgraph publish(const GraphRef& graph);
    CUgraphNode publish(Node& node);
    void withdraw(Graph& graph);
    void withdraw(Node& node);
};

}  // namespace cubar::softgpu::device
