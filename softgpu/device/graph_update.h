// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/device/graph_exec.h"

namespace cubar::softgpu::device {

/// Why an update was not made, in the words of CUgraphExecUpdateResultInfo.
struct UpdateResult {
    CUgraphExecUpdateResult result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
    Node* node = nullptr;  ///< of the new graph
    Node* from = nullptr;  ///< its dependency that does not match

    [[nodiscard]] bool good() const { return result == CU_GRAPH_EXEC_UPDATE_SUCCESS; }
};

/// cuGraphExecUpdate: gives each node the work of its counterpart; all of them or none.
UpdateResult update_graph(GraphExec& exec, const Graph& next);

/// cuGraphExec…NodeSetParams: the same for one node, with the narrower rules that hold there.
/// Throws CUDA_ERROR_INVALID_VALUE.
void update_node(GraphExec& exec, Node& node, const WorkRef& next);

}  // namespace cubar::softgpu::device
