// SPDX-License-Identifier: Apache-2.0
// Captures and graphs on a driver that only counts: what reaches it, and what does not.
#include <fstream>
#include <set>
#include <string>

#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

// What the driver's functions below know. One session at a time, as with FakeDriver.
FakeDriver* driver = nullptr;
std::mutex capturing_mutex;
std::set<CUstream> capturing;

bool is_capturing(CUstream stream) {
    const std::lock_guard lock(capturing_mutex);
    return capturing.contains(stream);
}

/// A session on a driver that knows captures.
struct GraphSession : FakeSession {
    GraphSession() : FakeSession(std::uint64_t{8} << 20) {
        ::driver = &driver;
        capturing.clear();
        auto& table = driver.table;
        table.cuStreamBeginCapture_v2 = [](CUstream stream, CUstreamCaptureMode mode) {
            const std::lock_guard lock(capturing_mutex);
            capturing.insert(stream);
            return ::driver->called("begin " + std::to_string(mode));
        };
        table.cuStreamEndCapture = [](CUstream stream, CUgraph* graph) {
            const std::lock_guard lock(capturing_mutex);
            capturing.erase(stream);
            *graph = reinterpret_cast<CUgraph>(0x100);
            return ::driver->called("end");
        };
        table.cuStreamIsCapturing = [](CUstream stream, CUstreamCaptureStatus* status) {
            *status = is_capturing(stream) ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                           : CU_STREAM_CAPTURE_STATUS_NONE;
            return CUDA_SUCCESS;
        };
        table.cuStreamGetCaptureInfo = [](CUstream stream, CUstreamCaptureStatus* status,
                                          cuuint64_t* id) {
            *id = 77;
            return ::driver->table.cuStreamIsCapturing(stream, status);
        };
        table.cuStreamGetCaptureInfo_v3 =
            [](CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
               const CUgraphNode** nodes, const CUgraphEdgeData** edges, std::size_t* count) {
                static const CUgraphNode kNodes[] = {reinterpret_cast<CUgraphNode>(0x201),
                                                     reinterpret_cast<CUgraphNode>(0x202)};
                *graph = reinterpret_cast<CUgraph>(0x100);
                *nodes = kNodes;
                *edges = nullptr;
                *count = std::size(kNodes);
                return ::driver->table.cuStreamGetCaptureInfo(stream, status, id);
            };
        table.cuGraphInstantiateWithParams = [](CUgraphExec* exec, CUgraph,
                                                CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
            *exec = reinterpret_cast<CUgraphExec>(0x300);
            parameters->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
            return ::driver->called("instantiate " + std::to_string(parameters->flags));
        };
        table.cuGraphExecUpdate_v2 = [](CUgraphExec, CUgraph, CUgraphExecUpdateResultInfo* info) {
            info->result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
            info->errorNode = reinterpret_cast<CUgraphNode>(0x202);
            return ::driver->called("update");
        };
        table.cuGraphLaunch = [](CUgraphExec, CUstream) { return ::driver->called("launch"); };
        table.cuGraphExecDestroy = [](CUgraphExec) { return ::driver->called("exec destroy"); };
        table.cuGraphDestroy = [](CUgraph) { return ::driver->called("graph destroy"); };
        context = make_context();
        own = make_stream(context, CU_STREAM_NON_BLOCKING);
    }

    CUresult begin_capture() {
        wire::cuStreamBeginCapture_v2::Reply reply{};
        return call<wire::cuStreamBeginCapture_v2>(context, {}, {own.stream}, reply);
    }
    CUresult end_capture(GraphHandle& graph) {
        wire::cuStreamEndCapture::Reply reply{};
        const CUresult result = call<wire::cuStreamEndCapture>(context, {}, {own.stream}, reply);
        graph = reply.graph;
        return result;
    }
    GraphHandle capture() {
        GraphHandle graph;
        REQUIRE(begin_capture() == CUDA_SUCCESS);
        REQUIRE(end_capture(graph) == CUDA_SUCCESS);
        return graph;
    }
    GraphExecHandle instantiate(GraphHandle graph) { return make_exec(context, graph); }
    CUresult destroy(GraphHandle graph) {
        wire::cuGraphDestroy::Reply reply{};
        return call<wire::cuGraphDestroy>(context, {}, {graph}, reply);
    }
    wire::capture_info::Reply info(std::uint32_t first = 0) {
        wire::capture_info::Request request{};
        request.stream = own.stream;
        request.first = first;
        wire::capture_info::Reply reply{};
        REQUIRE(call<wire::capture_info>(context, {}, request, reply) == CUDA_SUCCESS);
        return reply;
    }
    Position memset() {
        wire::cuMemsetD8Async::Request request{};
        request.N = 1;
        return post<wire::cuMemsetD8Async>(context, own.stream, request);
    }

    ContextHandle context;
    wire::cuStreamCreateWithPriority::Reply own;
};

}  // namespace

TEST_CASE("a capturing stream gets no fence until its capture has ended", "[graph]") {
    GraphSession fake;
    // Work from before the capture has its fence, however soon the capture begins.
    const Position before = fake.memset();
    REQUIRE(fake.begin_capture() == CUDA_SUCCESS);
    CHECK(fake.channel().fence[fake.own.fence].load() == before);
    const Position captured = fake.memset();
    const unsigned writes = fake.driver.count("cuStreamWriteValue64");
    // Other streams' fences go on meanwhile.
    const auto other = fake.make_stream(fake.context, CU_STREAM_NON_BLOCKING);
    wire::cuMemsetD8Async::Request request{};
    request.N = 1;
    const Position outside = fake.post<wire::cuMemsetD8Async>(fake.context, other.stream, request);
    fake.await_fence(other.fence, outside);
    CHECK(fake.driver.count("cuStreamWriteValue64") == writes + 1);
    CHECK(fake.channel().fence[fake.own.fence].load() == before);
    GraphHandle graph;
    REQUIRE(fake.end_capture(graph) == CUDA_SUCCESS);
    fake.await_fence(fake.own.fence, captured);
}

TEST_CASE("the host captures in relaxed mode, whatever thread serves the record", "[graph]") {
    static std::atomic<unsigned> relaxed{0};
    GraphSession fake;
    fake.driver.table.cuThreadExchangeStreamCaptureMode = [](CUstreamCaptureMode* mode) {
        if (*mode == CU_STREAM_CAPTURE_MODE_RELAXED) ++relaxed;
        return CUDA_SUCCESS;
    };
    fake.capture();
    CHECK(fake.driver.count("begin " + std::to_string(CU_STREAM_CAPTURE_MODE_RELAXED)) == 1);
    // An offloaded call has a thread of its own.
    wire::cuMemGetInfo_v2::Reply reply{};
    CHECK(fake.call<wire::cuMemGetInfo_v2>(fake.context, {}, {}, reply) == CUDA_SUCCESS);
    CHECK(relaxed == 1);
}

TEST_CASE("a captured graph is instantiated, launched by a record, and destroyed", "[graph]") {
    GraphSession fake;
    const GraphHandle graph = fake.capture();
    const GraphExecHandle exec = fake.instantiate(graph);
    const Position launched = fake.post<wire::cuGraphLaunch>(fake.context, fake.own.stream, {exec});
    fake.await_fence(fake.own.fence, launched);
    CHECK(fake.driver.count("launch") == 1);
    CHECK(fake.destroy(graph) == CUDA_SUCCESS);
    CHECK(fake.destroy(graph) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("graph destroy") == 1);
    // What was instantiated from it lives on.
    wire::cuGraphExecDestroy::Reply reply{};
    CHECK(fake.call<wire::cuGraphExecDestroy>({}, {}, {exec}, reply) == CUDA_SUCCESS);
    CHECK(fake.call<wire::cuGraphExecDestroy>({}, {}, {exec}, reply) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("exec destroy") == 1);
    fake.post<wire::cuGraphLaunch>(fake.context, fake.own.stream, {exec});
    fake.info();
    CHECK(fake.driver.count("launch") == 1);
    CHECK(fake.control().error_code.load() == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("nodes have one handle each, which ends with their graph", "[graph]") {
    GraphSession fake;
    REQUIRE(fake.begin_capture() == CUDA_SUCCESS);
    const auto first = fake.info();
    CHECK(first.status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    REQUIRE(first.total == 2);
    REQUIRE(first.count == 2);
    CHECK(first.node[0] != first.node[1]);
    const auto rest = fake.info(1);
    REQUIRE(rest.count == 1);
    CHECK(rest.node[0] == first.node[1]);
    // The capture still fills it.
    CHECK(fake.destroy(first.graph) == CUDA_ERROR_INVALID_VALUE);
    GraphHandle graph;
    REQUIRE(fake.end_capture(graph) == CUDA_SUCCESS);
    CHECK(graph == first.graph);

    const GraphExecHandle exec = fake.instantiate(graph);
    fake.driver.fail("update", CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    wire::cuGraphExecUpdate_v2::Reply update{};
    CHECK(fake.call<wire::cuGraphExecUpdate_v2>(fake.context, {}, {exec, graph}, update) ==
          CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    CHECK(update.error_node == first.node[1]);
    CHECK(!update.error_from_node);
    CHECK(update.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);

    CHECK(fake.destroy(graph) == CUDA_SUCCESS);
    REQUIRE(fake.begin_capture() == CUDA_SUCCESS);
    const auto later = fake.info();
    CHECK(later.graph != graph);
    CHECK(later.node[0] != first.node[0]);
}

TEST_CASE("the graph of a capture that failed is not there", "[graph]") {
    GraphSession fake;
    REQUIRE(fake.begin_capture() == CUDA_SUCCESS);
    const GraphHandle filled = fake.info().graph;
    fake.driver.fail("end", CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    GraphHandle graph;
    CHECK(fake.end_capture(graph) == CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    CHECK(!graph);
    CHECK(fake.destroy(filled) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("graph destroy") == 0);
    // The driver may give the next graph its address.
    fake.driver.fail("end", CUDA_SUCCESS);
    CHECK(fake.capture() != filled);
}

TEST_CASE("parameters of nodes that no honest guest sends are refused", "[graph]") {
    GraphSession fake;
    fake.driver.table.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*,
                                             const CUgraphEdgeData*, std::size_t,
                                             CUgraphNodeParams* parameters) {
        *node = reinterpret_cast<CUgraphNode>(0x400);
        return ::driver->called("add " + std::to_string(parameters->type));
    };
    const GraphHandle graph = fake.capture();
    const auto add = [&](CUgraphNodeType type, std::size_t bytes, std::uint32_t count = 0) {
        const std::vector<std::byte> payload(bytes);
        wire::cuGraphAddNode_v2::Request request{};
        request.graph = graph;
        request.type = type;
        request.count = count;
        request.payload_bytes = static_cast<std::uint32_t>(bytes);
        wire::cuGraphAddNode_v2::Reply reply{};
        return fake.call<wire::cuGraphAddNode_v2>(fake.context, {}, request, reply, payload);
    };
    CHECK(add(CU_GRAPH_NODE_TYPE_EMPTY, 0) == CUDA_SUCCESS);
    CHECK(add(CU_GRAPH_NODE_TYPE_MEMSET, 48) == CUDA_SUCCESS);
    CHECK(add(CU_GRAPH_NODE_TYPE_MEMSET, 47) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(CU_GRAPH_NODE_TYPE_KERNEL, 40) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(add(CU_GRAPH_NODE_TYPE_WAIT_EVENT, 8) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(add(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, 15) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, 64) == CUDA_ERROR_INVALID_VALUE);
    // Dependencies that are not there, or are no nodes.
    CHECK(add(CU_GRAPH_NODE_TYPE_EMPTY, 8, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(CU_GRAPH_NODE_TYPE_EMPTY, 8, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(CU_GRAPH_NODE_TYPE_CONDITIONAL, 200) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(fake.driver.count("add " + std::to_string(CU_GRAPH_NODE_TYPE_EMPTY)) == 1);
    CHECK(fake.driver.count("add " + std::to_string(CU_GRAPH_NODE_TYPE_MEMSET)) == 1);
}

TEST_CASE("conditions and bodies end with their graph", "[graph]") {
    GraphSession fake;
    auto& table = fake.driver.table;
    table.cuGraphConditionalHandleCreate = [](CUgraphConditionalHandle* condition, CUgraph,
                                              CUcontext, unsigned, unsigned) {
        *condition = 500;
        return ::driver->called("condition");
    };
    static CUgraph bodies[2];
    table.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*,
                                 const CUgraphEdgeData*, std::size_t,
                                 CUgraphNodeParams* parameters) {
        *node = reinterpret_cast<CUgraphNode>(0x400);
        parameters->conditional.phGraph_out = bodies;
        return ::driver->called("add " + std::to_string(parameters->type));
    };
    table.cuGraphDestroyNode = [](CUgraphNode) { return ::driver->called("node destroy"); };
    table.cuStreamBeginCaptureToGraph = [](CUstream stream, CUgraph, const CUgraphNode*,
                                           const CUgraphEdgeData*, std::size_t,
                                           CUstreamCaptureMode mode) {
        return ::driver->table.cuStreamBeginCapture_v2(stream, mode);
    };
    const auto create = [&](GraphHandle graph) {
        wire::cuGraphConditionalHandleCreate::Request request{};
        request.graph = graph;
        wire::cuGraphConditionalHandleCreate::Reply reply{};
        const CUresult result =
            fake.call<wire::cuGraphConditionalHandleCreate>(fake.context, {}, request, reply);
        CHECK((result != CUDA_SUCCESS || reply.condition == 500));
        return result;
    };
    wire::graph_add_conditional::Reply made{};
    const auto add = [&](GraphHandle graph, std::uint64_t condition, std::uint32_t size) {
        wire::graph_add_conditional::Request request{};
        request.graph = graph;
        request.condition = condition;
        request.kind = CU_GRAPH_COND_TYPE_SWITCH;
        request.size = size;
        made = {};
        return fake.call<wire::graph_add_conditional>(fake.context, {}, request, made);
    };
    const std::string added = "add " + std::to_string(CU_GRAPH_NODE_TYPE_CONDITIONAL);
    const GraphHandle graph = fake.capture();
    bodies[0] = reinterpret_cast<CUgraph>(0x501);
    bodies[1] = reinterpret_cast<CUgraph>(0x502);
    // The driver may take any number for a pointer of its own.
    CHECK(add(graph, 500, 2) == CUDA_ERROR_INVALID_VALUE);
    REQUIRE(create(graph) == CUDA_SUCCESS);
    CHECK(add(graph, 501, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(graph, 500, 481) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count(added) == 0);
    REQUIRE(add(graph, 500, 2) == CUDA_SUCCESS);
    CHECK(fake.driver.count(added) == 1);
    const GraphHandle first = made.body[0];
    CHECK((first && made.body[1] && !made.body[2]));
    // A body is not the guest's to destroy, and goes with its node.
    CHECK(fake.destroy(first) == CUDA_ERROR_INVALID_VALUE);
    wire::cuGraphDestroyNode::Reply destroyed{};
    REQUIRE(fake.call<wire::cuGraphDestroyNode>(fake.context, {}, {made.node}, destroyed) ==
            CUDA_SUCCESS);
    CHECK(create(first) == CUDA_ERROR_INVALID_VALUE);

    // A capture goes into a body whose graph is destroyed meanwhile: what the driver says of it is
    // no graph that the guest could get a handle for.
    REQUIRE(add(graph, 500, 2) == CUDA_SUCCESS);
    wire::cuStreamBeginCaptureToGraph::Request begin{};
    begin.stream = fake.own.stream;
    begin.graph = made.body[0];
    wire::cuStreamBeginCaptureToGraph::Reply begun{};
    REQUIRE(fake.call<wire::cuStreamBeginCaptureToGraph>(fake.context, {}, begin, begun) ==
            CUDA_SUCCESS);
    CHECK(fake.info().graph == made.body[0]);
    REQUIRE(fake.destroy(graph) == CUDA_SUCCESS);
    CHECK(add(graph, 500, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(made.body[0]) == CUDA_ERROR_INVALID_VALUE);
    GraphHandle ended;
    CHECK(fake.end_capture(ended) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("graph destroy") == 1);

    // Another graph's condition of the same number is another one.
    const GraphHandle next = fake.capture();
    CHECK(add(next, 500, 2) == CUDA_ERROR_INVALID_VALUE);
    REQUIRE(create(next) == CUDA_SUCCESS);
    CHECK(add(next, 500, 2) == CUDA_SUCCESS);
}

TEST_CASE("a drawing crosses in parts, and shows no address of the host", "[graph]") {
    static unsigned asked = 0;
    static const std::string kText(5000, 'x');
    GraphSession fake;
    fake.driver.table.cuGraphDebugDotPrint = [](CUgraph, const char* path, unsigned flags) {
        asked = flags;
        std::ofstream(path) << kText;
        return ::driver->called("draw");
    };
    wire::graph_dot::Request request{};
    request.graph = fake.capture();
    request.flags = CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE | CU_GRAPH_DEBUG_DOT_FLAGS_HANDLES;
    wire::graph_dot::Reply reply{};
    REQUIRE(fake.call<wire::graph_dot>(fake.context, {}, request, reply) == CUDA_SUCCESS);
    CHECK((asked & CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS) != 0);
    CHECK((asked & (CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE | CU_GRAPH_DEBUG_DOT_FLAGS_HANDLES |
                    CU_GRAPH_DEBUG_DOT_FLAGS_HOST_NODE_PARAMS |
                    CU_GRAPH_DEBUG_DOT_FLAGS_EVENT_NODE_PARAMS)) == 0);
    CHECK(reply.total == kText.size());
    CHECK(reply.bytes == sizeof reply.text);
    request.first = reply.bytes;
    REQUIRE(fake.call<wire::graph_dot>(fake.context, {}, request, reply) == CUDA_SUCCESS);
    CHECK(reply.bytes == kText.size() - sizeof reply.text);
    CHECK(reply.text[reply.bytes - 1] == 'x');
    CHECK(fake.driver.count("draw") == 1);
    // The host keeps it no longer than it is wanted.
    REQUIRE(fake.call<wire::graph_dot>(fake.context, {}, request, reply) == CUDA_SUCCESS);
    CHECK(reply.total == 0);
    request.graph = {};
    request.first = 0;
    CHECK(fake.call<wire::graph_dot>(fake.context, {}, request, reply) == CUDA_ERROR_INVALID_VALUE);
}
