// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "cubar/graph_node.h"
#include "libcuda/graph.h"

namespace cubar::guest {

/// A node's parameters on their way to the host, and what of them stays here.
struct NodeParameters {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    std::vector<std::byte> bytes;  ///< include/cubar/graph_node.h

    std::shared_ptr<GraphResources> child;  ///< of the graph that becomes a part
    std::uint64_t call = 0;                 ///< number of the function that the node calls
    Event* event = nullptr;                 ///< that the node records
    bool prints = false;                    ///< the kernel does
    bool stands_in = false;                 ///< the copy's ends are not those of the application
    CUDA_MEMCPY3D copy{};                   ///< that the application asked for, then

    template <typename Part>
    void add(const Part& part) {
        add(std::as_bytes(std::span(&part, 1)));
    }
    void add(std::span<const std::byte> more) {
        bytes.insert(bytes.end(), more.begin(), more.end());
    }
};

// Each takes what CUDA's structure says. `resources` are those of the graph, or of the executable
// graph, that the node belongs to.

CUresult take_kernel(const Caller& caller, const CUDA_KERNEL_NODE_PARAMS& kernel,
                     NodeParameters& out);
CUresult take_copy(const Caller& caller, GraphResources& resources, const CUDA_MEMCPY3D& copy,
                   CUcontext context, NodeParameters& out);
CUresult take_memset(const CUDA_MEMSET_NODE_PARAMS& memset, CUcontext context, NodeParameters& out);
CUresult take_function(const Caller& caller, GraphResources& resources,
                       const CUDA_HOST_NODE_PARAMS& host, NodeParameters& out);
CUresult take_child(const Caller& caller, CUgraph graph, bool moves, NodeParameters& out);
CUresult take_event(const Caller& caller, CUgraphNodeType type, CUevent event, NodeParameters& out);
CUresult take_batch(const CUDA_BATCH_MEM_OP_NODE_PARAMS& batch, NodeParameters& out);
bool reserved_words_clear(const CUgraphNodeParams& any);
/// By its type.
CUresult take_any(const Caller& caller, GraphResources& resources, const CUgraphNodeParams& any,
                  NodeParameters& out);

CUresult take_free(const Caller& caller, CUdeviceptr address, NodeParameters& out);

/// Where a new node goes.
struct Place {
    CUgraphNode* out;
    CUgraph graph;
    const CUgraphNode* dependencies;
    const CUgraphEdgeData* edges;
    std::size_t count;
};

/// Has the host make a node.
CUresult send_node(const Caller& caller, GraphHandle graph, const Dependencies& dependencies,
                   const NodeParameters& parameters, wire::cuGraphAddNode_v2::Reply& reply);

/// Makes a node that allocates, and says where the memory lies.
CUresult add_allocation(const Place& place, CUDA_MEM_ALLOC_NODE_PARAMS* wanted);

/// The structures of older functions in the newest form.
CUDA_KERNEL_NODE_PARAMS newest(const CUDA_KERNEL_NODE_PARAMS_v1& kernel);

/// What the host says of a node.
struct NodeInfo {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    GraphHandle graph;             ///< whose node it is
    std::vector<std::byte> bytes;  ///< its parameters

    template <typename Part>
    bool read(Part& part) const {
        if (bytes.size() < sizeof part) return false;
        std::memcpy(&part, bytes.data(), sizeof part);
        return true;
    }
};
CUresult ask_node(const Caller& caller, CUgraphNode node, NodeInfo& out);

/// The resources of the graph that a node belongs to; null: the graph is not known here.
std::shared_ptr<GraphResources> resources_of(const Caller& caller, GraphHandle graph);

}  // namespace cubar::guest
