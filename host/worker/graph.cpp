// SPDX-License-Identifier: Apache-2.0
#include "host/worker/graph.h"

#include <algorithm>
#include <cstring>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

GraphHandle Graphs::handle_of(CUgraph graph, const GraphObject& facts) {
    const std::lock_guard lock(mutex_);
    if (const auto found = known_.find(graph); found != known_.end()) {
        return GraphHandle(found->second.bits());
    }
    const GraphHandle made = graphs.adopt([&](GraphObject& object) { object = facts; });
    if (made) known_.insert_or_assign(graph, made);
    return made;
}

GraphNodeHandle Graphs::handle_of(CUgraphNode node, GraphHandle graph) {
    if (node == nullptr) return {};
    const std::lock_guard lock(mutex_);
    if (const auto found = known_.find(node); found != known_.end()) {
        return GraphNodeHandle(found->second.bits());
    }
    const GraphNodeHandle made = nodes.adopt([&](GraphNodeObject& object) {
        object = {node, graph};
    });
    if (made) known_.insert_or_assign(node, made);
    return made;
}

GraphExecHandle Graphs::adopt(CUgraphExec exec, GraphHandle graph) {
    return execs.adopt([&](GraphExecObject& object) { object = {exec, graph}; });
}

void Graphs::moved(GraphHandle graph, GraphHandle into) {
    const std::lock_guard lock(mutex_);
    if (GraphObject* object = graphs.find(graph)) object->parent = into;
}

GraphHandle Graphs::whole(GraphHandle graph) const {
    const std::lock_guard lock(mutex_);
    const GraphObject* object = graphs.find(graph);
    while (object != nullptr && object->parent) {
        graph = object->parent;
        object = graphs.find(graph);
    }
    return graph;
}

std::set<std::uint64_t> Graphs::instantiated() const {
    std::set<std::uint64_t> from;
    execs.for_each(
        [&](GraphExecHandle, const GraphExecObject& object) { from.insert(object.graph.bits()); });
    return from;
}

GraphHandle Graphs::captured(CUgraph graph, std::uint64_t capture) {
    const GraphHandle handle = handle_of(graph, {graph, {}, 0});
    const std::lock_guard lock(mutex_);
    GraphObject* object = graphs.find(handle);
    if (object != nullptr && object->capture == capture) object->capture = 0;
    return handle;
}

void Graphs::capture_failed(std::uint64_t capture) {
    const std::lock_guard lock(mutex_);
    GraphHandle failed;
    graphs.for_each([&](GraphHandle handle, const GraphObject& object) {
        if (object.capture == capture) failed = handle;
    });
    if (failed) forget_locked(failed);
}

void Graphs::begin_filling(std::uint64_t capture, GraphHandle graph) {
    const std::lock_guard lock(mutex_);
    fillings_.insert_or_assign(capture, graph);
}

bool Graphs::find_filling(std::uint64_t capture, GraphHandle& graph) {
    const std::lock_guard lock(mutex_);
    const auto found = fillings_.find(capture);
    if (found == fillings_.end()) return false;
    graph = found->second;
    return true;
}

CUresult Graphs::graph_of(std::uint64_t capture, CUgraph pointer, GraphHandle& graph) {
    if (find_filling(capture, graph)) {
        return graphs.find(graph) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    graph = handle_of(pointer, {pointer, {}, capture});
    return graph ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void Graphs::end_filling(std::uint64_t capture) {
    const std::lock_guard lock(mutex_);
    fillings_.erase(capture);
}

void Graphs::forget(GraphHandle graph) {
    const std::lock_guard lock(mutex_);
    forget_locked(graph);
}

void Graphs::forget_locked(GraphHandle graph) {
    const GraphObject* object = graphs.find(graph);
    if (object == nullptr) return;
    known_.erase(object->graph);
    graphs.forget(graph);
    forget_parts({graph});
}

void Graphs::forget_parts(const std::vector<GraphHandle>& ended) {
    const auto is_ended = [&](GraphHandle graph) {
        return std::find(ended.begin(), ended.end(), graph) != ended.end();
    };
    nodes.forget_if([&](GraphNodeHandle, const GraphNodeObject& node) {
        return is_ended(node.graph) && known_.erase(node.node) != 0;
    });
    std::erase_if(conditions_, [&](const auto& condition) { return is_ended(condition.second); });
    std::vector<GraphHandle> inner;
    graphs.forget_if([&](GraphHandle handle, const GraphObject& object) {
        if (!object.parent || !is_ended(object.parent)) return false;
        known_.erase(object.graph);
        inner.push_back(handle);
        return true;
    });
    if (!inner.empty()) forget_parts(inner);
}

void Graphs::forget(GraphNodeHandle node) {
    const std::lock_guard lock(mutex_);
    const GraphNodeObject* object = nodes.find(node);
    if (object == nullptr) return;
    known_.erase(object->node);
    nodes.forget(node);
}

void Graphs::forget_inner(CUgraph graph) {
    const std::lock_guard lock(mutex_);
    if (const auto found = known_.find(graph); found != known_.end()) {
        forget_locked(GraphHandle(found->second.bits()));
    }
}

UserObjectHandle Graphs::adopt(CUuserObject object, std::uint64_t call) {
    const UserObjectHandle handle =
        user_objects.adopt([&](UserObjectObject& entry) { entry = {object}; });
    const std::lock_guard lock(mutex_);
    if (handle) user_objects_by_call_.insert_or_assign(call, handle);
    return handle;
}

void Graphs::user_object_ended(std::uint64_t call) {
    const std::lock_guard lock(mutex_);
    const auto found = user_objects_by_call_.find(call);
    if (found == user_objects_by_call_.end()) return;
    user_objects.forget(found->second);
    user_objects_by_call_.erase(found);
}

CUresult Dependencies::read(Session& session, std::span<const std::byte> payload,
                            std::uint32_t count, bool with_edges) {
    const std::size_t node_bytes = std::size_t{count} * sizeof(std::uint64_t);
    const std::size_t edge_bytes = with_edges ? std::size_t{count} * sizeof(CUgraphEdgeData) : 0;
    if (payload.size() < node_bytes + edge_bytes) return CUDA_ERROR_INVALID_VALUE;
    nodes_.resize(count);
    for (std::uint32_t index = 0; index < count; ++index) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, payload.data() + index * sizeof bits, sizeof bits);
        CUBAR_TRY(session.resolve(GraphNodeHandle(bits), nodes_[index]));
    }
    if (edge_bytes != 0) {
        edges_.resize(count);
        std::memcpy(edges_.data(), payload.data() + node_bytes, edge_bytes);
    }
    return CUDA_SUCCESS;
}

CUresult Session::resolve(GraphHandle handle, CUgraph& out) const {
    const GraphObject* object = graphs.graphs.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    out = object->graph;
    return CUDA_SUCCESS;
}
CUresult Session::resolve(GraphNodeHandle handle, CUgraphNode& out) const {
    const GraphNodeObject* object = graphs.nodes.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    out = object->node;
    return CUDA_SUCCESS;
}
CUresult Session::resolve(GraphExecHandle handle, CUgraphExec& out) const {
    const GraphExecObject* object = graphs.execs.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    out = object->exec;
    return CUDA_SUCCESS;
}
CUresult Session::resolve(UserObjectHandle handle, CUuserObject& out) const {
    const UserObjectObject* object = graphs.user_objects.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    out = object->object;
    return CUDA_SUCCESS;
}

CUresult handle_cuGraphDestroy(Session& session, const transport::Record&,
                               const wire::cuGraphDestroy::Request& request,
                               std::span<const std::byte>, wire::cuGraphDestroy::Reply&) {
    const GraphObject* object = session.graphs.graphs.find(request.hGraph);
    // One that belongs to a node, or that a capture still fills, is not the guest's to destroy.
    if (object == nullptr || object->parent || object->capture != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const CUgraph graph = object->graph;
    session.graphs.forget(request.hGraph);
    const CUresult result = ask(session.driver().cuGraphDestroy, graph);
    session.graph_memory().settle();
    return result;
}

CUresult handle_cuGraphInstantiateWithParams(
    Session& session, const transport::Record&,
    const wire::cuGraphInstantiateWithParams::Request& request, std::span<const std::byte>,
    wire::cuGraphInstantiateWithParams::Reply& reply) {
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.graph, graph));
    CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
    parameters.flags = request.flags;
    if ((request.flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0) {
        CUBAR_TRY(session.resolve(request.upload_stream, parameters.hUploadStream));
    }
    CUgraphExec exec = nullptr;
    const CUresult result =
        ask(session.driver().cuGraphInstantiateWithParams, &exec, graph, &parameters);
    reply.result = static_cast<std::uint32_t>(parameters.result_out);
    reply.error_node = session.graphs.handle_of(parameters.hErrNode_out, request.graph);
    if (result != CUDA_SUCCESS) return result;
    reply.exec = session.graphs.adopt(exec, session.graphs.whole(request.graph));
    if (reply.exec) return CUDA_SUCCESS;
    ask(session.driver().cuGraphExecDestroy, exec);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuGraphExecUpdate_v2(Session& session, const transport::Record&,
                                     const wire::cuGraphExecUpdate_v2::Request& request,
                                     std::span<const std::byte>,
                                     wire::cuGraphExecUpdate_v2::Reply& reply) {
    CUgraphExec exec = nullptr;
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.exec, exec));
    CUBAR_TRY(session.resolve(request.graph, graph));
    CUgraphExecUpdateResultInfo info{};
    const CUresult result = ask(session.driver().cuGraphExecUpdate_v2, exec, graph, &info);
    reply.result = static_cast<std::uint32_t>(info.result);
    reply.error_node = session.graphs.handle_of(info.errorNode, request.graph);
    reply.error_from_node = session.graphs.handle_of(info.errorFromNode, request.graph);
    return result;
}

CUresult handle_cuGraphExecDestroy(Session& session, const transport::Record&,
                                   const wire::cuGraphExecDestroy::Request& request,
                                   std::span<const std::byte>, wire::cuGraphExecDestroy::Reply&) {
    CUgraphExec exec = nullptr;
    CUBAR_TRY(session.resolve(request.hGraphExec, exec));
    if (!session.graphs.execs.forget(request.hGraphExec)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = ask(session.driver().cuGraphExecDestroy, exec);
    session.graph_memory().settle();
    return result;
}

}  // namespace cubar::host
