// SPDX-License-Identifier: Apache-2.0
// Captures are the driver's own: between begin and end it turns what the guest's records ask of a
// stream into nodes of a graph.
#include "host/worker/capture.h"

#include <algorithm>
#include <cstring>

#include "cubar/host/dispatch.h"
#include "host/worker/graph.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// The driver's number of the capture that the stream takes part in; 0: none.
std::uint64_t capture_of(const Session& session, CUstream stream) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    const CUresult result = ask(session.driver().cuStreamGetCaptureInfo, stream, &status, &id);
    return result == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE ? id : 0;
}

}  // namespace

void relax_capture_mode(const Driver& driver) {
    thread_local bool relaxed = false;
    if (relaxed) return;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    relaxed = ask(driver.cuThreadExchangeStreamCaptureMode, &mode) == CUDA_SUCCESS;
}

CUresult handle_cuStreamBeginCapture_v2(Session& session, const transport::Record&,
                                        const wire::cuStreamBeginCapture_v2::Request& request,
                                        std::span<const std::byte>,
                                        wire::cuStreamBeginCapture_v2::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    // Fences of earlier work must not wait until the capture has ended.
    session.flush_fences();
    CUBAR_TRY(
        ask(session.driver().cuStreamBeginCapture_v2, stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    session.captures.began();
    return CUDA_SUCCESS;
}

CUresult handle_cuStreamBeginCaptureToGraph(
    Session& session, const transport::Record&,
    const wire::cuStreamBeginCaptureToGraph::Request& request, std::span<const std::byte> payload,
    wire::cuStreamBeginCaptureToGraph::Reply&) {
    CUstream stream = nullptr;
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUBAR_TRY(session.resolve(request.graph, graph));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.read(session, payload, request.count, request.with_edges != 0));
    session.flush_fences();
    CUBAR_TRY(ask(session.driver().cuStreamBeginCaptureToGraph, stream, graph,
                  static_cast<const CUgraphNode*>(dependencies.nodes()), dependencies.edges(),
                  dependencies.count(), CU_STREAM_CAPTURE_MODE_RELAXED));
    session.captures.began();
    session.graphs.begin_filling(capture_of(session, stream), request.graph);
    return CUDA_SUCCESS;
}

CUresult handle_cuStreamEndCapture(Session& session, const transport::Record&,
                                   const wire::cuStreamEndCapture::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuStreamEndCapture::Reply& reply) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    const std::uint64_t capture = capture_of(session, stream);
    CUgraph graph = nullptr;
    const CUresult result = ask(session.driver().cuStreamEndCapture, stream, &graph);
    if (capture != 0 && capture_of(session, stream) != capture) session.captures.ended();
    const bool named = session.graphs.find_filling(capture, reply.graph);
    session.graphs.end_filling(capture);
    if (named && result == CUDA_SUCCESS) {
        return session.graphs.graphs.find(reply.graph) != nullptr ? CUDA_SUCCESS
                                                                  : CUDA_ERROR_INVALID_VALUE;
    }
    if (result != CUDA_SUCCESS) {
        if (capture != 0) session.graphs.capture_failed(capture);
        session.graph_memory().settle();
        return result;
    }
    reply.graph = session.graphs.captured(graph, capture);
    if (reply.graph) return CUDA_SUCCESS;
    ask(session.driver().cuGraphDestroy, graph);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_capture_record_event(Session& session, const transport::Record&,
                                     const wire::capture_record_event::Request& request,
                                     std::span<const std::byte>,
                                     wire::capture_record_event::Reply&) {
    CUstream stream = nullptr;
    CUevent event = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUBAR_TRY(session.resolve(request.event, event));
    return ask(session.driver().cuEventRecordWithFlags, event, stream, request.flags);
}

CUresult handle_capture_wait_event(Session& session, const transport::Record&,
                                   const wire::capture_wait_event::Request& request,
                                   std::span<const std::byte>, wire::capture_wait_event::Reply&) {
    CUstream stream = nullptr;
    CUevent event = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUBAR_TRY(session.resolve(request.event, event));
    // The stream may take part in the capture from here on.
    session.flush_fences();
    return ask(session.driver().cuStreamWaitEvent, stream, event, request.flags);
}

CUresult handle_capture_launch(Session& session, const transport::Record&,
                               const wire::capture_launch::Request& request,
                               std::span<const std::byte>, wire::capture_launch::Reply&) {
    CUstream stream = nullptr;
    CUgraphExec exec = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUBAR_TRY(session.resolve(request.exec, exec));
    return ask(session.driver().cuGraphLaunch, exec, stream);
}

CUresult handle_capture_info(Session& session, const transport::Record&,
                             const wire::capture_info::Request& request, std::span<const std::byte>,
                             wire::capture_info::Reply& reply) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    CUgraph graph = nullptr;
    const CUgraphNode* nodes = nullptr;
    const CUgraphEdgeData* edges = nullptr;
    std::size_t count = 0;
    CUBAR_TRY(ask(session.driver().cuStreamGetCaptureInfo_v3, stream, &status, &id, &graph, &nodes,
                  &edges, &count));
    reply.status = static_cast<std::uint32_t>(status);
    if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
    CUBAR_TRY(session.graphs.graph_of(id, graph, reply.graph));
    reply.total = static_cast<std::uint32_t>(count);
    for (std::size_t index = request.first; index < count && reply.count < std::size(reply.node);
         ++index) {
        const std::uint32_t at = reply.count++;
        reply.node[at] = session.graphs.handle_of(nodes[index], reply.graph);
        if (edges != nullptr) std::memcpy(&reply.edge[at], &edges[index], sizeof reply.edge[at]);
    }
    return CUDA_SUCCESS;
}

CUresult handle_cuStreamUpdateCaptureDependencies_v2(
    Session& session, const transport::Record&,
    const wire::cuStreamUpdateCaptureDependencies_v2::Request& request,
    std::span<const std::byte> payload, wire::cuStreamUpdateCaptureDependencies_v2::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(request.stream, stream));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.read(session, payload, request.count, request.with_edges != 0));
    return ask(session.driver().cuStreamUpdateCaptureDependencies_v2, stream, dependencies.nodes(),
               dependencies.edges(), dependencies.count(), request.flags);
}

}  // namespace cubar::host
