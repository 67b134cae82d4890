// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "libcuda/call.h"
#include "libcuda/graph_resources.h"

namespace cubar::guest {

/// Nodes and what the edges to them say, as they cross: handles, then 8 bytes of CUgraphEdgeData
/// for each, if the application gave any.
class Dependencies {
public:
    CUresult take(const CUgraphNode* nodes, const CUgraphEdgeData* edges, std::size_t count);

    std::uint32_t count() const { return count_; }
    std::uint32_t with_edges() const { return with_edges_ ? 1 : 0; }
    std::span<const std::byte> payload() const { return bytes_; }
    std::uint32_t payload_bytes() const { return static_cast<std::uint32_t>(bytes_.size()); }

private:
    std::vector<std::byte> bytes_;
    std::uint32_t count_ = 0;
    bool with_edges_ = false;
};

/// Whether functions that know nothing of edge data may show these edges.
bool all_plain(std::span<const CUgraphEdgeData> edges);

/// A live graph that an application names. INVALID_VALUE for what is none.
CUresult find_graph(const Caller& caller, CUgraph value, GraphHandle& handle, Graph*& out);
CUresult find_exec(const Caller& caller, CUgraphExec value, GraphExecHandle& handle,
                   GraphExec*& out);

/// Mirrors a graph that the host has told of; one that is mirrored stays as it is.
CUresult mirror_graph(Session& session, GraphHandle handle,
                      std::shared_ptr<GraphResources> resources);

CUresult destroy_graph_on_host(const Caller& caller, GraphHandle handle);

}  // namespace cubar::guest
