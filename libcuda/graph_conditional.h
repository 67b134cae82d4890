// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>

namespace cubar::guest {

/// cuGraphAddNode for CU_GRAPH_NODE_TYPE_CONDITIONAL, which is answered with graphs.
CUresult add_conditional(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                         const CUgraphEdgeData* edges, std::size_t count, CUgraphNodeParams& given);

}  // namespace cubar::guest
