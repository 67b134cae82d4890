// SPDX-License-Identifier: Apache-2.0
// Graphs live in the host's driver. What is kept here is what of them only this process has.
#include "libcuda/graph.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "libcuda/capture_rules.h"
#include "libcuda/graph_copy.h"

namespace cubar::guest {

CUresult Dependencies::take(const CUgraphNode* nodes, const CUgraphEdgeData* edges,
                            std::size_t count) {
    constexpr std::size_t kEach = sizeof(std::uint64_t) + sizeof(CUgraphEdgeData);
    if (count == 0) return CUDA_SUCCESS;
    if (nodes == nullptr || count > kMaxRecordBytes / kEach) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t index = 0; index < count; ++index) {
        if (AnyHandle(bits_of(nodes[index])).kind() != Kind::kGraphNode) {
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    // An application's handles are the host's handles, bit for bit.
    static_assert(sizeof(CUgraphNode) == sizeof(std::uint64_t));
    const auto as_bytes = std::as_bytes(std::span(nodes, count));
    bytes_.assign(as_bytes.begin(), as_bytes.end());
    count_ = static_cast<std::uint32_t>(count);
    with_edges_ = edges != nullptr;
    if (with_edges_) {
        const auto edge_bytes = std::as_bytes(std::span(edges, count));
        bytes_.insert(bytes_.end(), edge_bytes.begin(), edge_bytes.end());
    }
    return CUDA_SUCCESS;
}

bool all_plain(std::span<const CUgraphEdgeData> edges) {
    return std::all_of(edges.begin(), edges.end(), [](const CUgraphEdgeData& edge) {
        return edge.from_port == 0 && edge.to_port == 0 && edge.type == 0;
    });
}

CUresult find_graph(const Caller& caller, CUgraph value, GraphHandle& handle, Graph*& out) {
    handle = GraphHandle(bits_of(value));
    out = caller.session->graphs.find(handle);
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult find_exec(const Caller& caller, CUgraphExec value, GraphExecHandle& handle,
                   GraphExec*& out) {
    handle = GraphExecHandle(bits_of(value));
    out = caller.session->graph_execs.find(handle);
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult mirror_graph(Session& session, GraphHandle handle,
                      std::shared_ptr<GraphResources> resources) {
    const bool mirrored = session.graphs.mirror(
        handle, [&](Graph& graph) { graph.resources = std::move(resources); });
    return mirrored ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult destroy_graph_on_host(const Caller& caller, GraphHandle handle) {
    wire::cuGraphDestroy::Reply reply{};
    return call_in<wire::cuGraphDestroy>(caller, caller.thread->current(), {}, {handle}, reply);
}

namespace {

/// Ends a mirror entry and gives what it had; null if there was none.
template <typename Table, typename Handle>
std::shared_ptr<GraphResources> forget(Table& table, Handle handle) {
    std::shared_ptr<GraphResources> resources;
    table.forget_if([&](Handle each, auto& object) {
        if (each != handle) return false;
        resources = std::move(object.resources);
        return true;
    });
    return resources;
}

void set_resources(GraphExec& exec, std::shared_ptr<GraphResources> resources) {
    exec.needs_care.store(resources->needs_care(), std::memory_order_relaxed);
    exec.changed = false;
    exec.resources = std::move(resources);
}

CUresult instantiate(CUgraphExec* out, CUgraph value, std::uint64_t flags, CUstream upload_value,
                     wire::cuGraphInstantiateWithParams::Reply& reply) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Graph* graph = nullptr;
    wire::cuGraphInstantiateWithParams::Request request{};
    CUBAR_TRY(find_graph(caller, value, request.graph, graph));
    request.flags = flags;
    if ((flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0) {
        Stream* stream = nullptr;
        CUBAR_TRY(find_stream(caller, upload_value, stream));
        request.upload_stream = stream->handle;
    }
    CUBAR_TRY(call_in<wire::cuGraphInstantiateWithParams>(caller, caller.context->handle, {},
                                                          request, reply));
    const bool mirrored = caller.session->graph_execs.mirror(
        reply.exec, [&](GraphExec& exec) { set_resources(exec, graph->resources); });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUgraphExec>(reply.exec);
    return CUDA_SUCCESS;
}

CUresult launch_with_care(const Caller& caller, GraphExec& exec, Stream& stream,
                          const wire::cuGraphLaunch::Request& request) {
    const std::shared_ptr<GraphResources> resources = exec.resources;
    if (is_capturing(stream)) {
        CUBAR_TRY(caller.session->captures.check_work(*caller.session, stream));
        wire::capture_launch::Reply reply{};
        CUBAR_TRY(call_in<wire::capture_launch>(caller, stream.context, {},
                                                {request.hGraph, stream.handle}, reply));
        const auto whole = caller.session->captures.resources(stream);
        if (whole != nullptr) whole->include(resources);
        return CUDA_SUCCESS;
    }
    if (resources->prints.load(std::memory_order_relaxed)) note_printing(caller, stream);
    return launch_with_resources(caller, resources, stream, request);
}

CUresult instantiate_logged(CUgraphExec* out, CUgraph graph, CUgraphNode* error_node, char* log,
                            std::size_t log_bytes) {
    wire::cuGraphInstantiateWithParams::Reply reply{};
    const CUresult result = instantiate(out, graph, 0, nullptr, reply);
    if (error_node != nullptr) *error_node = pointer_to<CUgraphNode>(reply.error_node);
    if (log != nullptr && log_bytes != 0) log[0] = '\0';
    return result;
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuGraphInstantiateWithParams(CUgraphExec* out, CUgraph graph,
                                       CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
    if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphInstantiateWithParams::Reply reply{};
    const CUresult result =
        instantiate(out, graph, parameters->flags, parameters->hUploadStream, reply);
    parameters->hErrNode_out = pointer_to<CUgraphNode>(reply.error_node);
    parameters->result_out = static_cast<CUgraphInstantiateResult>(reply.result);
    // Nobody has looked at the graph.
    if (result != CUDA_SUCCESS && parameters->result_out == CUDA_GRAPH_INSTANTIATE_SUCCESS) {
        parameters->result_out = CUDA_GRAPH_INSTANTIATE_ERROR;
    }
    return result;
}

CUBAR_API cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long flags) {
    // CU_STREAM_PER_THREAD and the like come with the parameters alone.
    wire::cuGraphInstantiateWithParams::Reply reply{};
    return instantiate(out, graph, flags, nullptr, reply);
}

CUBAR_API cuGraphInstantiate(CUgraphExec* out, CUgraph graph, CUgraphNode* error_node, char* log,
                             std::size_t log_bytes) {
    return instantiate_logged(out, graph, error_node, log, log_bytes);
}

CUBAR_API cuGraphInstantiate_v2(CUgraphExec* out, CUgraph graph, CUgraphNode* error_node, char* log,
                                std::size_t log_bytes) {
    return instantiate_logged(out, graph, error_node, log, log_bytes);
}

CUBAR_API cuGraphExecUpdate_v2(CUgraphExec exec_value, CUgraph graph_value,
                               CUgraphExecUpdateResultInfo* info) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (info == nullptr) return CUDA_ERROR_INVALID_VALUE;
    GraphExec* exec = nullptr;
    Graph* graph = nullptr;
    wire::cuGraphExecUpdate_v2::Request request{};
    CUBAR_TRY(find_exec(caller, exec_value, request.exec, exec));
    CUBAR_TRY(find_graph(caller, graph_value, request.graph, graph));
    wire::cuGraphExecUpdate_v2::Reply reply{};
    const CUresult result =
        call_in<wire::cuGraphExecUpdate_v2>(caller, caller.context->handle, {}, request, reply);
    info->result = static_cast<CUgraphExecUpdateResult>(reply.result);
    info->errorNode = pointer_to<CUgraphNode>(reply.error_node);
    info->errorFromNode = pointer_to<CUgraphNode>(reply.error_from_node);
    CUBAR_TRY(result);
    retire(caller, exec->resources);
    set_resources(*exec, graph->resources);
    return CUDA_SUCCESS;
}

CUBAR_API cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node,
                            CUgraphExecUpdateResult* update_result) {
    if (error_node == nullptr || update_result == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUgraphExecUpdateResultInfo info{};
    const CUresult result = cuGraphExecUpdate_v2(exec, graph, &info);
    *error_node = info.errorNode;
    *update_result = info.result;
    return result;
}

CUBAR_API cuGraphLaunch(CUgraphExec exec_value, CUstream stream_value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    GraphExec* exec = nullptr;
    wire::cuGraphLaunch::Request request{};
    CUBAR_TRY(find_exec(caller, exec_value, request.hGraph, exec));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, stream_value, stream));
    if (exec->needs_care.load(std::memory_order_relaxed) || is_capturing(*stream)) [[unlikely]] {
        return launch_with_care(caller, *exec, *stream, request);
    }
    return post<wire::cuGraphLaunch>(caller, *stream, request);
}

CUBAR_API cuGraphExecDestroy(CUgraphExec value) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    GraphExec* exec = nullptr;
    wire::cuGraphExecDestroy::Request request{};
    CUBAR_TRY(find_exec(caller, value, request.hGraphExec, exec));
    auto resources = forget(caller.session->graph_execs, request.hGraphExec);
    if (resources == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuGraphExecDestroy::Reply reply{};
    const CUresult result =
        call_in<wire::cuGraphExecDestroy>(caller, caller.thread->current(), {}, request, reply);
    retire(caller, std::move(resources));
    caller.session->graph_memory.forget_ended(caller);
    return result;
}

CUBAR_API cuGraphDestroy(CUgraph value) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    Graph* graph = nullptr;
    cubar::GraphHandle handle;
    CUBAR_TRY(find_graph(caller, value, handle, graph));
    // First there: one that belongs to a node or to a capture is not the application's to destroy.
    CUBAR_TRY(destroy_graph_on_host(caller, handle));
    retire(caller, forget(caller.session->graphs, handle));
    caller.session->graph_memory.forget_ended(caller);
    return CUDA_SUCCESS;
}
