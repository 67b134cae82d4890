// SPDX-License-Identifier: Apache-2.0
#include "libcuda/capture.h"

#include <bit>
#include <utility>

#include "libcuda/capture_rules.h"
#include "libcuda/graph.h"

namespace cubar::guest {

CUresult capture_wait(const Caller& caller, Stream& stream, EventHandle handle, const Event& event,
                      unsigned flags) {
    Session& session = *caller.session;
    const std::uint64_t own = stream.capture.load(std::memory_order_relaxed);
    const std::uint64_t other = event.capture.load(std::memory_order_relaxed);
    CUBAR_TRY(session.captures.check_work(session, stream));
    wire::capture_wait_event::Request request{};
    request.stream = stream.handle;
    request.event = handle;
    request.flags = flags;
    wire::capture_wait_event::Reply reply{};
    const CUresult result =
        call_in<wire::capture_wait_event>(caller, stream.context, {}, request, reply);
    if (result == CUDA_SUCCESS) {
        if (own == 0) session.captures.join(session, stream, other);
    } else {
        // The driver has spoilt whatever is concerned.
        session.captures.spoil(session, own);
        session.captures.spoil(session, other);
    }
    return result;
}

void recorded_by_graph(Event& event) {
    event.stream.store(kRecordedByGraph, std::memory_order_relaxed);
    event.position.store(1, std::memory_order_release);
}

CUresult capture_record(const Caller& caller, Stream& stream, EventHandle handle, Event& event,
                        unsigned flags) {
    CUBAR_TRY(caller.session->captures.check_work(*caller.session, stream));
    wire::capture_record_event::Request request{};
    request.stream = stream.handle;
    request.event = handle;
    request.flags = flags;
    wire::capture_record_event::Reply reply{};
    CUBAR_TRY(call_in<wire::capture_record_event>(caller, stream.context, {}, request, reply));
    if ((flags & CU_EVENT_RECORD_EXTERNAL) != 0) {
        recorded_by_graph(event);
    } else {
        event.capture.store(stream.capture.load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
    }
    return CUDA_SUCCESS;
}

void note_printing(const Caller& caller, Stream& stream) {
    if (!is_capturing(stream)) {
        stream.prints.store(true, std::memory_order_relaxed);
    } else if (const auto resources = caller.session->captures.resources(stream)) {
        resources->prints.store(true, std::memory_order_relaxed);
    }
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

CUresult find(CUstream value, Caller& caller, Stream*& stream) {
    CUBAR_TRY(enter(caller));
    return find_stream(caller, value, stream);
}

CUresult status_of(CUstream value, CUstreamCaptureStatus* status, cuuint64_t* id, Caller& caller,
                   Stream*& stream) {
    CUBAR_TRY(find(value, caller, stream));
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t number = 0;
    if (caller.session->captures.any()) {
        CUBAR_TRY(caller.session->captures.ask(*caller.session, *stream, *status, number));
    } else {
        *status = CU_STREAM_CAPTURE_STATUS_NONE;
    }
    if (id != nullptr) *id = number;
    return CUDA_SUCCESS;
}

bool known(CUstreamCaptureMode mode) {
    return mode == CU_STREAM_CAPTURE_MODE_GLOBAL || mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL ||
           mode == CU_STREAM_CAPTURE_MODE_RELAXED;
}

/// Begins in the host by `ask_host()`, then here.
template <typename AskHost>
CUresult begin(CUstream value, Capture capture, AskHost&& ask_host) {
    Caller caller;
    Stream* stream = nullptr;
    CUBAR_TRY(find(value, caller, stream));
    if (!known(capture.mode)) return CUDA_ERROR_INVALID_VALUE;
    if (!stream->handle) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (is_capturing(*stream)) return CUDA_ERROR_ILLEGAL_STATE;
    CUBAR_TRY(ask_host(caller, *stream));
    capture.thread = caller.thread->number;
    caller.session->captures.begin(*caller.session, *stream, capture);
    return CUDA_SUCCESS;
}

}  // namespace

CUBAR_API cuStreamBeginCapture_v2(CUstream value, CUstreamCaptureMode mode) {
    Capture capture;
    capture.mode = mode;
    capture.resources.reset(new GraphResources);
    return begin(value, capture, [](const Caller& caller, const Stream& stream) {
        wire::cuStreamBeginCapture_v2::Reply reply{};
        return call_in<wire::cuStreamBeginCapture_v2>(caller, stream.context, {}, {stream.handle},
                                                      reply);
    });
}

CUBAR_API cuStreamBeginCapture(CUstream stream) {
    return cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUBAR_API cuStreamBeginCaptureToGraph(CUstream value, CUgraph graph_value, const CUgraphNode* nodes,
                                      const CUgraphEdgeData* edges, std::size_t count,
                                      CUstreamCaptureMode mode) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    const cubar::GraphHandle handle(bits_of(graph_value));
    const Graph* graph = caller.session->graphs.find(handle);
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Dependencies dependencies;
    CUBAR_TRY(dependencies.take(nodes, edges, count));
    Capture capture;
    capture.mode = mode;
    capture.into_graph = true;
    capture.resources = graph->resources;
    return begin(value, capture, [&](const Caller& by, const Stream& stream) {
        wire::cuStreamBeginCaptureToGraph::Request request{};
        request.stream = stream.handle;
        request.graph = handle;
        request.count = dependencies.count();
        request.with_edges = dependencies.with_edges();
        request.payload_bytes = dependencies.payload_bytes();
        wire::cuStreamBeginCaptureToGraph::Reply reply{};
        return call_in<wire::cuStreamBeginCaptureToGraph>(by, stream.context, {}, request, reply,
                                                          dependencies.payload());
    });
}

CUBAR_API cuStreamEndCapture(CUstream value, CUgraph* out) {
    Caller caller;
    Stream* stream = nullptr;
    CUBAR_TRY(find(value, caller, stream));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *out = nullptr;
    Session& session = *caller.session;
    Capture capture;
    CUBAR_TRY(session.captures.may_end(session, *stream, caller.thread->number, capture));
    wire::cuStreamEndCapture::Reply reply{};
    CUresult result =
        call_in<wire::cuStreamEndCapture>(caller, stream->context, {}, {stream->handle}, reply);
    session.captures.end(session, capture.id);
    CUBAR_TRY(result);
    if (!capture.valid) {
        // The host saw nothing wrong: only here the rule was broken.
        if (!capture.into_graph) destroy_graph_on_host(caller, reply.graph);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    CUBAR_TRY(mirror_graph(session, reply.graph, std::move(capture.resources)));
    *out = pointer_to<CUgraph>(reply.graph);
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamIsCapturing(CUstream value, CUstreamCaptureStatus* status) {
    Caller caller;
    Stream* stream = nullptr;
    return status_of(value, status, nullptr, caller, stream);
}

CUBAR_API cuStreamGetCaptureInfo(CUstream value, CUstreamCaptureStatus* status, cuuint64_t* id) {
    Caller caller;
    Stream* stream = nullptr;
    return status_of(value, status, id, caller, stream);
}

namespace {

/// Fetches what the next operation of a stream depends on into the thread's own arrays, where it
/// stays until the thread asks again.
CUresult fetch_dependencies(const Caller& caller, const Stream& stream, CUgraph& graph) {
    ThreadState& thread = *caller.thread;
    thread.shown_nodes.clear();
    thread.shown_edges.clear();
    wire::capture_info::Request request{};
    request.stream = stream.handle;
    wire::capture_info::Reply reply{};
    do {
        request.first = static_cast<std::uint32_t>(thread.shown_nodes.size());
        CUBAR_TRY(call_in<wire::capture_info>(caller, stream.context, {}, request, reply));
        for (std::uint32_t index = 0; index < reply.count; ++index) {
            thread.shown_nodes.push_back(pointer_to<CUgraphNode>(reply.node[index]));
            thread.shown_edges.push_back(std::bit_cast<CUgraphEdgeData>(reply.edge[index]));
        }
    } while (reply.count != 0 && thread.shown_nodes.size() < reply.total);
    graph = pointer_to<CUgraph>(reply.graph);
    if (!reply.graph) return CUDA_SUCCESS;
    auto resources = caller.session->captures.resources(stream);
    if (resources == nullptr) return CUDA_SUCCESS;
    return mirror_graph(*caller.session, reply.graph, std::move(resources));
}

CUresult capture_info(CUstream value, CUstreamCaptureStatus* status, cuuint64_t* id,
                      CUgraph* graph_out, const CUgraphNode** nodes, const CUgraphEdgeData** edges,
                      std::size_t* count, bool takes_edges) {
    Caller caller;
    Stream* stream = nullptr;
    CUBAR_TRY(status_of(value, status, id, caller, stream));
    CUgraph graph = nullptr;
    const bool active = *status == CU_STREAM_CAPTURE_STATUS_ACTIVE;
    const bool asked = graph_out != nullptr || nodes != nullptr || count != nullptr;
    if (active && asked) CUBAR_TRY(fetch_dependencies(caller, *stream, graph));
    const ThreadState& thread = *caller.thread;
    if (active && nodes != nullptr && !takes_edges && !all_plain(thread.shown_edges)) {
        return CUDA_ERROR_LOSSY_QUERY;
    }
    if (graph_out != nullptr) *graph_out = graph;
    if (nodes != nullptr) *nodes = active ? thread.shown_nodes.data() : nullptr;
    if (edges != nullptr) *edges = active ? thread.shown_edges.data() : nullptr;
    if (count != nullptr) *count = active ? thread.shown_nodes.size() : 0;
    return CUDA_SUCCESS;
}

}  // namespace

CUBAR_API cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                    CUgraph* graph, const CUgraphNode** nodes, std::size_t* count) {
    return capture_info(stream, status, id, graph, nodes, nullptr, count, false);
}

CUBAR_API cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                    CUgraph* graph, const CUgraphNode** nodes,
                                    const CUgraphEdgeData** edges, std::size_t* count) {
    return capture_info(stream, status, id, graph, nodes, edges, count, edges != nullptr);
}

CUBAR_API cuStreamUpdateCaptureDependencies_v2(CUstream value, CUgraphNode* nodes,
                                               const CUgraphEdgeData* edges, std::size_t count,
                                               unsigned int flags) {
    Caller caller;
    Stream* stream = nullptr;
    CUBAR_TRY(find(value, caller, stream));
    if (flags != CU_STREAM_ADD_CAPTURE_DEPENDENCIES &&
        flags != CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_capturing(*stream)) return CUDA_ERROR_ILLEGAL_STATE;
    CUBAR_TRY(caller.session->captures.check_work(*caller.session, *stream));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.take(nodes, edges, count));
    wire::cuStreamUpdateCaptureDependencies_v2::Request request{};
    request.stream = stream->handle;
    request.count = dependencies.count();
    request.with_edges = dependencies.with_edges();
    request.flags = flags;
    request.payload_bytes = dependencies.payload_bytes();
    wire::cuStreamUpdateCaptureDependencies_v2::Reply reply{};
    return call_in<wire::cuStreamUpdateCaptureDependencies_v2>(caller, stream->context, {}, request,
                                                               reply, dependencies.payload());
}

CUBAR_API cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode* nodes, std::size_t count,
                                            unsigned int flags) {
    return cuStreamUpdateCaptureDependencies_v2(stream, nodes, nullptr, count, flags);
}

CUBAR_API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (mode == nullptr || !known(*mode)) return CUDA_ERROR_INVALID_VALUE;
    ThreadState* thread = this_thread();
    if (thread == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    std::swap(thread->capture_mode, *mode);
    return CUDA_SUCCESS;
}
