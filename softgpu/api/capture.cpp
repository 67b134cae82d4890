// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/capture.h"

#include <cuda.h>

#include <utility>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/current.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::CaptureRef;
using device::Dependency;
using device::Driver;
using device::GraphRef;
using device::Graphs;

namespace {

CUresult begin(const char* function, CUstream stream, CUstreamCaptureMode mode) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        std::lock_guard lock(driver.graphs().mutex);
        driver.captures().begin(place.stream, mode, nullptr, {});
    });
}

/// Where the answers of cuStreamGetCaptureInfo go; all but the status may be null.
struct Info {
    CUstreamCaptureStatus* status = nullptr;
    cuuint64_t* id = nullptr;
    CUgraph* graph = nullptr;
    const CUgraphNode** dependencies = nullptr;
    const CUgraphEdgeData** edges = nullptr;
    size_t* count = nullptr;
};

void show_dependencies(Graphs& graphs, device::Capture::Branch& branch, const Info& info) {
    branch.shown_nodes.clear();
    branch.shown_edges.clear();
    for (const Dependency& each : branch.dependencies) {
        require(info.dependencies == nullptr || info.edges != nullptr || each.plain(),
                CUDA_ERROR_LOSSY_QUERY, "there are edges with data");
        branch.shown_nodes.push_back(graphs.publish(*each.node));
        branch.shown_edges.push_back(each.data);
    }
    if (info.dependencies != nullptr) *info.dependencies = branch.shown_nodes.data();
    if (info.edges != nullptr) *info.edges = branch.shown_edges.data();
    if (info.count != nullptr) *info.count = branch.shown_nodes.size();
}

CUresult get_info(const char* function, CUstream handle, const Info& info) {
    return entry(function, [&](Driver& driver) {
        require_value(info.status != nullptr, "a null pointer");
        require_value(info.edges == nullptr || info.dependencies != nullptr,
                      "edges without dependencies");
        const api::StreamPlace place = api::stream_of(driver, handle);
        Graphs& graphs = driver.graphs();
        std::lock_guard lock(graphs.mutex);
        const CaptureRef capture = graphs.captures.find(place.stream);
        if (capture == nullptr || capture->invalidated) {
            *info.status = capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
                                              : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
            return;
        }
        *info.status = CU_STREAM_CAPTURE_STATUS_ACTIVE;
        if (info.id != nullptr) *info.id = capture->id;
        if (info.graph != nullptr) *info.graph = graphs.publish(capture->graph);
        show_dependencies(graphs, capture->branches[place.stream.get()], info);
    });
}

CUresult update(const char* function, CUstream stream, const CUgraphNode* dependencies,
                const CUgraphEdgeData* edges, size_t count, unsigned flags) {
    return entry(function, [&](Driver& driver) {
        require_value(flags <= CU_STREAM_SET_CAPTURE_DEPENDENCIES, "unknown flags");
        const api::StreamPlace place = api::stream_of(driver, stream);
        std::lock_guard lock(driver.graphs().mutex);
        driver.captures().update(place.stream,
                                 api::dependencies_of(driver.graphs(), dependencies, edges, count),
                                 flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES);
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
    return entry(__func__, [&](Driver&) {
        require_value(mode != nullptr && *mode >= CU_STREAM_CAPTURE_MODE_GLOBAL &&
                          *mode <= CU_STREAM_CAPTURE_MODE_RELAXED,
                      "no such mode");
        *mode = std::exchange(device::this_thread().capture_mode, *mode);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamBeginCapture(CUstream stream) {
    return begin(__func__, stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
    return begin(__func__, stream, mode);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamBeginCaptureToGraph(CUstream stream, CUgraph handle,
                                                          const CUgraphNode* dependencies,
                                                          const CUgraphEdgeData* edges,
                                                          size_t count, CUstreamCaptureMode mode) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        Graphs& graphs = driver.graphs();
        std::lock_guard lock(graphs.mutex);
        graphs.captures.begin(place.stream, mode, api::graph_of(graphs, handle),
                              api::dependencies_of(graphs, dependencies, edges, count));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    return entry(__func__, [&](Driver& driver) {
        require_value(graph != nullptr, "a null pointer");
        *graph = nullptr;
        const api::StreamPlace place = api::stream_of(driver, stream);
        std::lock_guard lock(driver.graphs().mutex);
        *graph = driver.graphs().publish(driver.captures().end(place.stream));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    return get_info(__func__, stream, {.status = status});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status,
                                                     cuuint64_t* id) {
    return get_info(__func__, stream, {.status = status, .id = id});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v2(CUstream stream,
                                                        CUstreamCaptureStatus* status,
                                                        cuuint64_t* id, CUgraph* graph,
                                                        const CUgraphNode** dependencies,
                                                        size_t* count) {
    return get_info(__func__, stream, {status, id, graph, dependencies, nullptr, count});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetCaptureInfo_v3(
    CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
    const CUgraphNode** dependencies, const CUgraphEdgeData** edges, size_t* count) {
    return get_info(__func__, stream, {status, id, graph, dependencies, edges, count});
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies(CUstream stream,
                                                                CUgraphNode* dependencies,
                                                                size_t count, unsigned int flags) {
    return update(__func__, stream, dependencies, nullptr, count, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamUpdateCaptureDependencies_v2(CUstream stream,
                                                                   CUgraphNode* dependencies,
                                                                   const CUgraphEdgeData* edges,
                                                                   size_t count,
                                                                   unsigned int flags) {
    return update(__func__, stream, dependencies, edges, count, flags);
}
