// SPDX-License-Identifier: Apache-2.0
// What the functions on graphs have in common: their lock, their handles, their lists.
#pragma once

#include <cuda.h>

#include <mutex>
#include <vector>

#include "softgpu/api/entry.h"
#include "softgpu/device/graphs.h"

namespace cubar::softgpu::api {

/// As entry(), for what works on the structure of graphs: with Graphs::mutex held.
template <class Body>
CUresult graph_entry(const char* function, Body body) noexcept {
    return entry(function, [&](Driver& driver) {
        std::lock_guard lock(driver.graphs().mutex);
        return body(driver.graphs());
    });
}

/// They throw CUDA_ERROR_INVALID_VALUE.
device::GraphRef graph_of(device::Graphs& graphs, CUgraph handle);
device::NodeRef node_of(device::Graphs& graphs, CUgraphNode handle);
device::GraphExecRef exec_of(device::Graphs& graphs, CUgraphExec handle);
/// The executable counterpart of a node that is still in the original graph.
device::Node& exec_node_of(device::Graphs& graphs, const device::GraphExec& exec,
                           CUgraphNode handle);
std::vector<device::Dependency> dependencies_of(device::Graphs& graphs, const CUgraphNode* nodes,
                                                const CUgraphEdgeData* edges, std::size_t count);

}  // namespace cubar::softgpu::api
