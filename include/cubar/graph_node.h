// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cubar/handle.h"

/// The parameters of a graph's nodes as they cross, behind the request: which one it is, says the
/// CUgraphNodeType beside it. An empty node has none.
namespace cubar::node {

/// CU_GRAPH_NODE_TYPE_KERNEL. The parameter block follows.
struct Kernel {
    FunctionHandle function;  ///< in answers also the bits of a KernelHandle
    std::uint32_t grid[3];
    std::uint32_t block[3];
    std::uint32_t shared_bytes;
    std::uint32_t parameter_bytes;
};
static_assert(sizeof(Kernel) == 40);

/// CU_GRAPH_NODE_TYPE_MEMCPY. Host pointers in it are those of the arena, the same on both sides.
struct Memcpy {
    ContextHandle context;
    CUDA_MEMCPY3D copy;
};
static_assert(sizeof(Memcpy) == 208);

/// CU_GRAPH_NODE_TYPE_MEMSET.
struct Memset {
    ContextHandle context;
    std::uint64_t address;
    std::uint64_t pitch;
    std::uint64_t width;
    std::uint64_t height;
    std::uint32_t value;
    std::uint32_t element_bytes;
};
static_assert(sizeof(Memset) == 48);

/// CU_GRAPH_NODE_TYPE_HOST: the guest's number of the function.
struct Host {
    std::uint64_t call;
};

/// CU_GRAPH_NODE_TYPE_GRAPH.
struct Child {
    GraphHandle graph;
    std::uint32_t moves;  ///< 1: the graph becomes the node's; 0: a copy of it
    std::uint32_t reserved;
};
static_assert(sizeof(Child) == 16);

/// CU_GRAPH_NODE_TYPE_WAIT_EVENT and CU_GRAPH_NODE_TYPE_EVENT_RECORD.
struct Event {
    EventHandle event;
};

/// CU_GRAPH_NODE_TYPE_BATCH_MEM_OP. So many CUstreamBatchMemOpParams follow; they hold addresses of
/// the GPU and values.
struct BatchMemOp {
    ContextHandle context;
    std::uint32_t count;
    std::uint32_t flags;
};
static_assert(sizeof(BatchMemOp) == 16);

/// CU_GRAPH_NODE_TYPE_MEM_ALLOC. So many MemAccess follow.
struct MemAlloc {
    std::uint64_t address;  ///< in answers
    std::uint64_t bytes;
    std::uint64_t limit;   ///< as the application gave it (maxSize)
    std::int32_t device;   ///< the host's number
    std::uint32_t access;  ///< how many follow
};
static_assert(sizeof(MemAlloc) == 32);

struct MemAccess {
    std::int32_t device;
    std::uint32_t flags;  ///< CUmemAccess_flags
};
static_assert(sizeof(MemAccess) == 8);

/// CU_GRAPH_NODE_TYPE_MEM_FREE.
struct MemFree {
    std::uint64_t address;
};

}  // namespace cubar::node

namespace cubar {

/// What a graph_list record asks for.
enum class GraphList : std::uint32_t {
    kNodes = 0,         ///< of a graph
    kRoots = 1,         ///< of a graph
    kEdges = 2,         ///< of a graph
    kDependencies = 3,  ///< of a node
    kDependents = 4,    ///< of a node
};

}  // namespace cubar
