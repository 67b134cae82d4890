// SPDX-License-Identifier: Apache-2.0
// Nodes that allocate and free memory, and what is asked about their memory.
#include <cstring>
#include <vector>

#include "cubar/graph_node.h"
#include "cubar/host/dispatch.h"
#include "host/worker/graph_memory.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

CUresult allocate_in_graph(Session& session, GraphHandle graph, CUdevice device,
                           std::uint64_t bytes, const std::function<CUresult(CUdeviceptr&)>& make,
                           CUdeviceptr& address) {
    GraphMemory& memory = session.graph_memory();
    const CUresult result = memory.allocate(graph, device, bytes, make, address);
    if (result != CUDA_ERROR_OUT_OF_MEMORY) return result;
    session.pools().reclaim();
    memory.reclaim();
    return memory.allocate(graph, device, bytes, make, address);
}

CUresult allocate_in_capture(Session& session, CUstream stream, CUmemoryPool pool, CUdevice device,
                             std::uint64_t bytes, CUdeviceptr& address) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    CUgraph graph = nullptr;
    const CUgraphNode* nodes = nullptr;
    const CUgraphEdgeData* edges = nullptr;
    std::size_t count = 0;
    const Driver& driver = session.driver();
    CUBAR_TRY(ask(driver.cuStreamGetCaptureInfo_v3, stream, &status, &id, &graph, &nodes, &edges,
                  &count));
    if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    GraphHandle handle;
    CUBAR_TRY(session.graphs.graph_of(id, graph, handle));
    return allocate_in_graph(
        session, handle, device, bytes,
        [&](CUdeviceptr& made) {
            return ask(driver.cuMemAllocFromPoolAsync, &made, bytes, pool, stream);
        },
        address);
}

CUresult add_allocation(Session& session, const wire::cuGraphAddNode_v2::Request& request,
                        CUgraph graph, Dependencies& dependencies,
                        std::span<const std::byte> parameters,
                        wire::cuGraphAddNode_v2::Reply& reply) {
    node::MemAlloc wanted;
    if (parameters.size() < sizeof wanted) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(&wanted, parameters.data(), sizeof wanted);
    parameters = parameters.subspan(sizeof wanted);
    if (parameters.size() / sizeof(node::MemAccess) != wanted.access) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const Driver& driver = session.driver();
    CUdevice device = 0;
    CUBAR_TRY(ask(driver.cuDeviceGet, &device, wanted.device));
    std::vector<CUmemAccessDesc> access(wanted.access);
    for (CUmemAccessDesc& each : access) {
        node::MemAccess given;
        std::memcpy(&given, parameters.data(), sizeof given);
        parameters = parameters.subspan(sizeof given);
        each.location = {CU_MEM_LOCATION_TYPE_DEVICE, given.device};
        each.flags = static_cast<CUmemAccess_flags>(given.flags);
    }
    CUgraphNodeParams all{};
    all.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    all.alloc.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    all.alloc.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    all.alloc.poolProps.maxSize = wanted.limit;
    all.alloc.accessDescs = access.empty() ? nullptr : access.data();
    all.alloc.accessDescCount = access.size();
    all.alloc.bytesize = wanted.bytes;
    CUgraphNode node = nullptr;
    CUdeviceptr address = 0;
    CUBAR_TRY(allocate_in_graph(
        session, request.graph, device, wanted.bytes,
        [&](CUdeviceptr& made) {
            const CUresult result = ask(driver.cuGraphAddNode_v2, &node, graph,
                                        static_cast<const CUgraphNode*>(dependencies.nodes()),
                                        dependencies.edges(), dependencies.count(), &all);
            made = all.alloc.dptr;
            return result;
        },
        address));
    reply.address = address;
    reply.node = session.graphs.handle_of(node, request.graph);
    // Without a handle the node stays: no driver takes it out again.
    return reply.node ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_graph_launch(Session& session, const transport::Record& record,
                             const wire::graph_launch::Request& request, std::span<const std::byte>,
                             wire::graph_launch::Reply&) {
    CUgraphExec exec = nullptr;
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.exec, exec));
    CUBAR_TRY(session.resolve(request.stream, stream));
    const CUresult result = ask(session.driver().cuGraphLaunch, exec, stream);
    session.mark_dirty(ContextHandle(record.header().context), request.stream, record.end());
    session.graph_memory().account();
    return result;
}

CUresult handle_graph_free(Session& session, const transport::Record& record,
                           const wire::graph_free::Request& request, std::span<const std::byte>,
                           wire::graph_free::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    if (!session.graph_memory().holds(request.address)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result =
        ask(session.driver().cuMemFreeAsync, static_cast<CUdeviceptr>(request.address), stream);
    session.mark_dirty(ContextHandle(record.header().context), request.stream, record.end());
    return result;
}

CUresult handle_graph_memory_ended(Session& session, const transport::Record&,
                                   const wire::graph_memory_ended::Request& request,
                                   std::span<const std::byte> payload,
                                   wire::graph_memory_ended::Reply& reply) {
    if (request.count > std::size(reply.ended) ||
        payload.size() / sizeof(std::uint64_t) != request.count) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    session.graph_memory().settle();
    for (std::uint32_t index = 0; index < request.count; ++index) {
        std::uint64_t address = 0;
        std::memcpy(&address, payload.data() + index * sizeof address, sizeof address);
        reply.ended[index] = session.graph_memory().holds(address) ? 0 : 1;
    }
    return CUDA_SUCCESS;
}

CUresult handle_cuDeviceGraphMemTrim(Session& session, const transport::Record&,
                                     const wire::cuDeviceGraphMemTrim::Request& request,
                                     std::span<const std::byte>,
                                     wire::cuDeviceGraphMemTrim::Reply&) {
    CUBAR_TRY(ask(session.driver().cuDeviceGraphMemTrim, request.device));
    session.graph_memory().settle();
    return CUDA_SUCCESS;
}

CUresult handle_cuDeviceGetGraphMemAttribute(
    Session& session, const transport::Record&,
    const wire::cuDeviceGetGraphMemAttribute::Request& request, std::span<const std::byte>,
    wire::cuDeviceGetGraphMemAttribute::Reply& reply) {
    cuuint64_t value = 0;
    CUBAR_TRY(ask(session.driver().cuDeviceGetGraphMemAttribute, request.device,
                  static_cast<CUgraphMem_attribute>(request.attribute),
                  static_cast<void*>(&value)));
    reply.value = value;
    return CUDA_SUCCESS;
}

CUresult handle_cuDeviceSetGraphMemAttribute(
    Session& session, const transport::Record&,
    const wire::cuDeviceSetGraphMemAttribute::Request& request, std::span<const std::byte>,
    wire::cuDeviceSetGraphMemAttribute::Reply&) {
    cuuint64_t value = request.value;
    return ask(session.driver().cuDeviceSetGraphMemAttribute, request.device,
               static_cast<CUgraphMem_attribute>(request.attribute), static_cast<void*>(&value));
}

}  // namespace cubar::host
