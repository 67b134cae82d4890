// SPDX-License-Identifier: Apache-2.0
// Stream capture: what becomes a node, and what breaks a rule.
#include <cuda.h>

#include <thread>

#include "test/unit/softgpu/graph_fixture.h"

namespace {

CUstreamCaptureStatus status_of(CUstream stream) {
    CUstreamCaptureStatus status{};
    SUCCEEDS(cuStreamIsCapturing(stream, &status));
    return status;
}

struct Event {
    explicit Event(unsigned flags = CU_EVENT_DISABLE_TIMING) {
        SUCCEEDS(cuEventCreate(&event, flags));
    }
    ~Event() { cuEventDestroy(event); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    operator CUevent() const { return event; }
    CUevent event = nullptr;
};

struct Capturing : Device {
    void begin(CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED) {
        SUCCEEDS(cuStreamBeginCapture(stream, mode));
    }
    CUgraph end() {
        CUgraph graph = nullptr;
        SUCCEEDS(cuStreamEndCapture(stream, &graph));
        REQUIRE(graph != nullptr);
        return graph;
    }
    /// The capture was broken: it ends with this error, without a graph, and the streams are free.
    void end_with(CUresult error) {
        auto graph = reinterpret_cast<CUgraph>(1);
        CHECK(cuStreamEndCapture(stream, &graph) == error);
        CHECK(graph == nullptr);
        CHECK(status_of(stream) == CU_STREAM_CAPTURE_STATUS_NONE);
        CHECK(status_of(other) == CU_STREAM_CAPTURE_STATUS_NONE);
        SUCCEEDS(launch(stream, 1, 1));
        SUCCEEDS(cuStreamSynchronize(stream));
    }
    bool invalidated() { return status_of(stream) == CU_STREAM_CAPTURE_STATUS_INVALIDATED; }
};

}  // namespace

TEST_CASE_METHOD(Capturing, "captured launches run when the graph does") {
    begin();
    CHECK(status_of(stream) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    SUCCEEDS(launch(stream, 1, 2));
    SUCCEEDS(launch(stream, 10, 0));
    const CUgraph graph = end();
    CHECK(status_of(stream) == CU_STREAM_CAPTURE_STATUS_NONE);
    CHECK(value() == 1);
    CHECK(node_count(graph) == 2);
    CUgraphExec exec = nullptr;
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    SUCCEEDS(cuGraphDestroy(graph));
    for (int round = 0; round < 3; ++round) SUCCEEDS(cuGraphLaunch(exec, stream));
    SUCCEEDS(cuGraphExecDestroy(exec));
    CHECK(value() == 3220);  // 1, 30, 320, 3220
}

TEST_CASE_METHOD(Capturing, "every kind of operation becomes a node") {
    unsigned host[Device::kCount] = {};
    CUdeviceptr copy = 0;
    SUCCEEDS(cuMemAlloc(&copy, 256));
    begin();
    SUCCEEDS(cuMemsetD32Async(values, 7, Device::kCount, stream));
    SUCCEEDS(launch(stream, 1, 1));
    SUCCEEDS(cuMemcpyDtoDAsync(copy, values, 256, stream));
    CUDA_MEMCPY2D plane{};
    plane.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    plane.srcDevice = copy;
    plane.srcPitch = 128;
    plane.dstMemoryType = CU_MEMORYTYPE_HOST;
    plane.dstHost = host;
    plane.dstPitch = 128;
    plane.WidthInBytes = 64;
    plane.Height = 2;
    SUCCEEDS(cuMemcpy2DAsync(&plane, stream));
    static std::atomic<int> called;
    called = 0;
    int amount = 5;
    SUCCEEDS(cuLaunchHostFunc(
        stream, [](void* data) { called += *static_cast<int*>(data); }, &amount));
    SUCCEEDS(cuStreamWriteValue32(stream, copy, 99, 0));
    const CUgraph graph = end();
    const auto nodes = nodes_of(graph);
    const CUgraphNodeType expected[] = {CU_GRAPH_NODE_TYPE_MEMSET, CU_GRAPH_NODE_TYPE_KERNEL,
                                        CU_GRAPH_NODE_TYPE_MEMCPY, CU_GRAPH_NODE_TYPE_MEMCPY,
                                        CU_GRAPH_NODE_TYPE_HOST,   CU_GRAPH_NODE_TYPE_BATCH_MEM_OP};
    REQUIRE(nodes.size() == std::size(expected));
    for (std::size_t i = 0; i < nodes.size(); ++i) CHECK(type_of(nodes[i]) == expected[i]);
    CHECK(called == 0);
    run(graph);
    CHECK(called == 5);
    CHECK(host[0] == 8);
    CHECK(host[15] == 8);
    CHECK(host[16] == 0);
    CHECK(host[32] == 8);
    unsigned word = 0;
    SUCCEEDS(cuMemcpyDtoH(&word, copy, 4));
    CHECK(word == 99);
}

TEST_CASE_METHOD(Capturing, "events fork and join a capture") {
    Event fork, join;
    begin();
    SUCCEEDS(launch(stream, 1, 1));
    SUCCEEDS(cuEventRecord(fork, stream));
    SUCCEEDS(cuStreamWaitEvent(other, fork, 0));
    CHECK(status_of(other) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    SUCCEEDS(launch(other, 3, 0));
    SUCCEEDS(cuEventRecord(join, other));
    SUCCEEDS(cuStreamWaitEvent(stream, join, 0));
    SUCCEEDS(launch(stream, 1, 1));
    CHECK(cuEventQuery(join) == CUDA_ERROR_CAPTURED_EVENT);
    CHECK(invalidated());
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin();
    SUCCEEDS(launch(stream, 1, 1));
    SUCCEEDS(cuEventRecord(fork, stream));
    SUCCEEDS(cuStreamWaitEvent(other, fork, 0));
    SUCCEEDS(launch(other, 3, 0));
    SUCCEEDS(cuEventRecord(join, other));
    SUCCEEDS(cuStreamWaitEvent(stream, join, 0));
    SUCCEEDS(launch(stream, 1, 1));
    const CUgraph graph = end();
    CHECK(status_of(other) == CU_STREAM_CAPTURE_STATUS_NONE);
    reset(1);
    run(graph);
    CHECK(value() == 7);
    std::size_t edges = 0;
    SUCCEEDS(cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
    CHECK(edges == 3);  // the last node depends on both, though one would do
    // What was recorded in a capture says nothing outside of it.
    CHECK(cuEventSynchronize(join) == CUDA_ERROR_CAPTURED_EVENT);
    CHECK(cuStreamWaitEvent(other, join, 0) == CUDA_ERROR_CAPTURED_EVENT);
    SUCCEEDS(cuEventRecord(join, other));
    SUCCEEDS(cuEventSynchronize(join));
}

TEST_CASE_METHOD(Capturing, "a fork that is not joined") {
    Event fork, join;
    begin();
    SUCCEEDS(cuEventRecord(fork, stream));
    SUCCEEDS(cuStreamWaitEvent(other, fork, 0));
    SUCCEEDS(launch(other, 1, 1));
    SUCCEEDS(cuEventRecord(join, other));
    SUCCEEDS(cuStreamWaitEvent(stream, join, 0));
    SUCCEEDS(launch(other, 1, 1));  // after the join
    end_with(CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
}

TEST_CASE_METHOD(Capturing, "a capture is ended where it was begun") {
    Event fork;
    CUgraph graph = nullptr;
    CHECK(cuStreamEndCapture(stream, &graph) == CUDA_ERROR_ILLEGAL_STATE);
    begin();
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED) == CUDA_ERROR_ILLEGAL_STATE);
    SUCCEEDS(cuEventRecord(fork, stream));
    SUCCEEDS(cuStreamWaitEvent(other, fork, 0));
    CHECK(cuStreamEndCapture(other, &graph) == CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    CHECK(launch(stream, 1, 1) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK(cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_RELAXED) ==
          CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    int three = 3;
    CHECK(cuStreamBeginCapture(stream, static_cast<CUstreamCaptureMode>(three)) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Capturing, "only a relaxed capture may change threads") {
    const auto end_elsewhere = [&] {
        CUresult result{};
        CUgraph graph = nullptr;
        std::thread([&] {
            SUCCEEDS(cuCtxSetCurrent(context));
            result = cuStreamEndCapture(stream, &graph);
        }).join();
        return result;
    };
    begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    CHECK(end_elsewhere() == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    end();
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    CHECK(end_elsewhere() == CUDA_SUCCESS);
}

TEST_CASE_METHOD(Capturing, "captures do not merge, and let nothing in from outside") {
    Event mine, theirs, outside;
    SUCCEEDS(cuEventRecord(outside, other));
    begin();
    SUCCEEDS(cuStreamBeginCapture(other, CU_STREAM_CAPTURE_MODE_RELAXED));
    SUCCEEDS(cuEventRecord(theirs, other));
    CHECK(cuStreamWaitEvent(stream, theirs, 0) == CUDA_ERROR_STREAM_CAPTURE_MERGE);
    CUgraph graph = nullptr;
    CHECK(cuStreamEndCapture(other, &graph) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin();
    CHECK(cuStreamWaitEvent(stream, outside, 0) == CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin();
    CHECK(cuStreamWaitEvent(stream, theirs, 0) == CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin();
    SUCCEEDS(cuStreamWaitEvent(stream, mine, 0));  // never recorded
    SUCCEEDS(cuStreamWaitEvent(stream, outside, CU_EVENT_WAIT_EXTERNAL));
    SUCCEEDS(cuEventRecordWithFlags(mine, stream, CU_EVENT_RECORD_EXTERNAL));
    graph = end();
    const auto nodes = nodes_of(graph);
    REQUIRE(nodes.size() == 2);
    CHECK(type_of(nodes[0]) == CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    CHECK(type_of(nodes[1]) == CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    run(graph);
    SUCCEEDS(cuEventQuery(mine));
}

TEST_CASE_METHOD(Capturing, "what waits for a captured stream is refused and breaks the capture") {
    const auto breaks = [&](CUresult error, auto call) {
        begin();
        CHECK(call() == error);
        CHECK(invalidated());
        end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    };
    breaks(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuStreamSynchronize(stream); });
    breaks(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuStreamQuery(stream); });
    breaks(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] { return cuCtxSynchronize(); });
    breaks(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, [&] {
        return cuStreamAddCallback(
            stream, [](CUstream, CUresult, void*) {}, nullptr, 0);
    });
}

TEST_CASE_METHOD(Capturing, "the legacy stream is in the way of blocking streams only") {
    CUstream blocking = nullptr;
    SUCCEEDS(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    SUCCEEDS(cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    CUstreamCaptureStatus status{};
    CHECK(cuStreamIsCapturing(nullptr, &status) == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    CHECK(status_of(blocking) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    CHECK(launch(nullptr, 1, 1) == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    CHECK(status_of(blocking) == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    CUgraph graph = nullptr;
    CHECK(cuStreamEndCapture(blocking, &graph) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    SUCCEEDS(cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    unsigned word = 0;
    CHECK(cuMemcpyDtoH(&word, values, 4) == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    CHECK(cuStreamEndCapture(blocking, &graph) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin();
    SUCCEEDS(launch(nullptr, 1, 1));
    SUCCEEDS(cuMemcpyDtoH(&word, values, 4));
    CHECK(word == 2);
    end();
}

TEST_CASE_METHOD(Capturing, "unsafe calls obey the modes of capture and thread") {
    CUdeviceptr memory = 0;
    const auto elsewhere = [&](CUstreamCaptureMode mode) {
        CUresult result{};
        std::thread([&] {
            SUCCEEDS(cuCtxSetCurrent(context));
            SUCCEEDS(cuThreadExchangeStreamCaptureMode(&mode));
            CHECK(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
            CUdeviceptr own = 0;
            result = cuMemAlloc(&own, 16);
        }).join();
        return result;
    };
    constexpr CUresult kForbidden = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;

    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    SUCCEEDS(cuMemAlloc(&memory, 16));
    CHECK(elsewhere(CU_STREAM_CAPTURE_MODE_GLOBAL) == CUDA_SUCCESS);
    end();

    begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    CHECK(elsewhere(CU_STREAM_CAPTURE_MODE_GLOBAL) == CUDA_SUCCESS);
    CHECK(cuMemFree(memory) == kForbidden);
    CHECK(invalidated());
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    CHECK(elsewhere(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) == CUDA_SUCCESS);
    CHECK(elsewhere(CU_STREAM_CAPTURE_MODE_RELAXED) == CUDA_SUCCESS);
    CHECK_FALSE(invalidated());
    CHECK(elsewhere(CU_STREAM_CAPTURE_MODE_GLOBAL) == kForbidden);
    CHECK(invalidated());
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    auto mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    SUCCEEDS(cuThreadExchangeStreamCaptureMode(&mode));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    SUCCEEDS(cuMemFree(memory));
    void* pinned = nullptr;
    SUCCEEDS(cuMemHostAlloc(&pinned, 16, 0));
    SUCCEEDS(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(mode == CU_STREAM_CAPTURE_MODE_RELAXED);
    CHECK(cuMemFreeHost(pinned) == kForbidden);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    SUCCEEDS(cuMemFreeHost(pinned));
    int seven = 7;
    mode = static_cast<CUstreamCaptureMode>(seven);
    CHECK(cuThreadExchangeStreamCaptureMode(&mode) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Capturing, "what a capture says of itself") {
    CUstreamCaptureStatus status{};
    cuuint64_t first = 0, second = 0;
    CUgraph graph = nullptr;
    const CUgraphNode* dependencies = nullptr;
    const CUgraphEdgeData* edges = nullptr;
    std::size_t count = 9;
    begin();
    SUCCEEDS(
        cuStreamGetCaptureInfo(stream, &status, &first, &graph, &dependencies, &edges, &count));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    CHECK(count == 0);
    SUCCEEDS(launch(stream, 1, 1));
    SUCCEEDS(
        cuStreamGetCaptureInfo(stream, &status, &second, nullptr, &dependencies, &edges, &count));
    CHECK(second == first);
    REQUIRE(count == 1);
    CHECK(dependencies[0] == nodes_of(graph)[0]);
    CHECK(cuStreamGetCaptureInfo(stream, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    // The graph may be added to, but not be taken apart or run, while it grows.
    CHECK(cuGraphDestroy(graph) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphDestroyNode(dependencies[0]) == CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec = nullptr;
    CHECK(cuGraphInstantiate(&exec, graph, 0) == CUDA_ERROR_INVALID_VALUE);
    CUgraphNode empty = nullptr;
    SUCCEEDS(cuGraphAddEmptyNode(&empty, graph, dependencies, count));
    SUCCEEDS(cuStreamUpdateCaptureDependencies(stream, &empty, nullptr, 1,
                                               CU_STREAM_SET_CAPTURE_DEPENDENCIES));
    SUCCEEDS(launch(stream, 2, 0));
    CHECK(end() == graph);
    CHECK(node_count(graph) == 3);
    CUgraphNode before = nullptr;
    count = 1;
    SUCCEEDS(cuGraphNodeGetDependencies(nodes_of(graph)[2], &before, nullptr, &count));
    CHECK(before == empty);
    run(graph);
    CHECK(value() == 4);
    CHECK(cuStreamUpdateCaptureDependencies(stream, &empty, nullptr, 1, 0) ==
          CUDA_ERROR_ILLEGAL_STATE);
    begin();
    SUCCEEDS(cuStreamGetCaptureInfo(stream, &status, &second, nullptr, nullptr, nullptr, nullptr));
    CHECK(second != first);
    CHECK(cuStreamUpdateCaptureDependencies(stream, &empty, nullptr, 1, 0) ==
          CUDA_ERROR_INVALID_VALUE);
    end();
}

TEST_CASE_METHOD(Capturing, "a capture into a graph that is there") {
    CUgraph graph = nullptr;
    CUgraphNode first = nullptr;
    SUCCEEDS(cuGraphCreate(&graph, 0));
    const KernelNode first_kernel(*this, 1, 4);
    SUCCEEDS(cuGraphAddKernelNode(&first, graph, nullptr, 0, &first_kernel.node));
    SUCCEEDS(cuStreamBeginCaptureToGraph(stream, graph, &first, nullptr, 1,
                                         CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK(cuStreamBeginCaptureToGraph(other, graph, nullptr, nullptr, 0,
                                      CU_STREAM_CAPTURE_MODE_RELAXED) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(launch(stream, 10, 0));
    CHECK(end() == graph);
    run(graph);
    CHECK(value() == 50);
    // A capture that fails leaves the caller's graph alone.
    SUCCEEDS(cuStreamBeginCaptureToGraph(stream, graph, nullptr, nullptr, 0,
                                         CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    end_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK(node_count(graph) == 2);
    SUCCEEDS(cuGraphDestroy(graph));
}

TEST_CASE_METHOD(Capturing, "a graph launched into a capture becomes a child") {
    begin();
    SUCCEEDS(launch(stream, 1, 1));
    CUgraphExec inner = nullptr;
    SUCCEEDS(cuGraphInstantiate(&inner, end(), 0));
    begin();
    SUCCEEDS(cuGraphLaunch(inner, stream));
    SUCCEEDS(launch(stream, 10, 0));
    const CUgraph graph = end();
    SUCCEEDS(cuGraphExecDestroy(inner));
    CHECK(value() == 1);
    CHECK(type_of(nodes_of(graph)[0]) == CU_GRAPH_NODE_TYPE_GRAPH);
    run(graph);
    CHECK(value() == 20);
}

TEST_CASE_METHOD(Capturing, "streams may end while they are captured") {
    CUstream gone = nullptr;
    Event fork;
    SUCCEEDS(cuStreamCreate(&gone, CU_STREAM_NON_BLOCKING));
    SUCCEEDS(cuStreamBeginCapture(gone, CU_STREAM_CAPTURE_MODE_GLOBAL));
    SUCCEEDS(cuEventRecord(fork, gone));
    SUCCEEDS(cuStreamWaitEvent(other, fork, 0));
    SUCCEEDS(cuStreamDestroy(gone));
    CHECK(status_of(other) == CU_STREAM_CAPTURE_STATUS_NONE);
    // Work that a stream has captured stays to be joined.
    SUCCEEDS(cuStreamCreate(&gone, CU_STREAM_NON_BLOCKING));
    begin();
    SUCCEEDS(cuEventRecord(fork, stream));
    SUCCEEDS(cuStreamWaitEvent(gone, fork, 0));
    SUCCEEDS(launch(gone, 1, 1));
    SUCCEEDS(cuStreamDestroy(gone));
    end_with(CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    // A thread that ends takes the capture of its own default stream with it.
    std::thread([&] {
        SUCCEEDS(cuCtxSetCurrent(context));
        SUCCEEDS(cuStreamBeginCapture(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL));
    }).join();
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 16));
}
