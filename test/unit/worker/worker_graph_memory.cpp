// SPDX-License-Identifier: Apache-2.0
// What memory that graphs allocate is charged, and when that is given back. The guest may be any.
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "cubar/graph_node.h"
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

constexpr std::uint64_t kPage = std::uint64_t{2} << 20;
constexpr std::uint64_t kQuotaPages = 4;

// The driver that the functions below make up. One session at a time, as with FakeDriver.
struct {
    FakeDriver* calls = nullptr;
    std::mutex mutex;
    std::set<CUdeviceptr> known;
    CUdeviceptr next = 0;
    std::uint64_t nodes = 0;
    std::uint64_t graphs = 0;
    std::uint64_t reserved = 0;  ///< for graphs
    std::uint64_t kept = 0;      ///< of that when it is trimmed
    bool capturing = false;
} gpu;

CUdeviceptr make_address() {
    const std::lock_guard lock(gpu.mutex);
    gpu.next += 64 * kPage;
    gpu.known.insert(gpu.next);
    return gpu.next;
}
void forget(CUdeviceptr address) {
    const std::lock_guard lock(gpu.mutex);
    gpu.known.erase(address);
}
void set_reserved(std::uint64_t pages, std::uint64_t kept) {
    const std::lock_guard lock(gpu.mutex);
    gpu.reserved = pages * kPage;
    gpu.kept = kept * kPage;
}

struct GraphMemorySession : FakeSession {
    GraphMemorySession() : FakeSession(kQuotaPages * kPage) {
        gpu.calls = &driver;
        gpu.known.clear();
        gpu.next = 0x7d0000000000;
        gpu.capturing = false;
        set_reserved(0, 0);
        add_graph_functions();
        add_memory_functions();
        add_capture_functions();
        context = make_context();
        stream = make_stream(context, CU_STREAM_NON_BLOCKING);
    }

    void add_graph_functions() {
        auto& table = driver.table;
        table.cuGraphCreate = [](CUgraph* graph, unsigned) {
            *graph = reinterpret_cast<CUgraph>(0x10'0000 + ++gpu.graphs * 16);
            return CUDA_SUCCESS;
        };
        table.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*,
                                     const CUgraphEdgeData*, std::size_t,
                                     CUgraphNodeParams* parameters) {
            const CUresult result = gpu.calls->called("add");
            if (result != CUDA_SUCCESS) return result;
            *node = reinterpret_cast<CUgraphNode>(0x20'0000 + ++gpu.nodes * 16);
            if (parameters->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
                parameters->alloc.dptr = make_address();
            }
            return CUDA_SUCCESS;
        };
        table.cuGraphNodeSetParams = [](CUgraphNode, CUgraphNodeParams*) {
            return gpu.calls->called("set");
        };
        table.cuGraphExecNodeSetParams = [](CUgraphExec, CUgraphNode, CUgraphNodeParams*) {
            return gpu.calls->called("set");
        };
        table.cuGraphInstantiateWithParams = [](CUgraphExec* exec, CUgraph,
                                                CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
            *exec = reinterpret_cast<CUgraphExec>(0x300);
            parameters->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
            return CUDA_SUCCESS;
        };
        table.cuGraphLaunch = [](CUgraphExec, CUstream) { return gpu.calls->called("launch"); };
        table.cuGraphExecDestroy = [](CUgraphExec) { return CUDA_SUCCESS; };
        table.cuGraphDestroy = [](CUgraph) { return gpu.calls->called("graph destroy"); };
    }
    void add_memory_functions() {
        auto& table = driver.table;
        table.cuPointerGetAttribute = [](void*, CUpointer_attribute, CUdeviceptr asked) {
            const std::lock_guard lock(gpu.mutex);
            return gpu.known.contains(asked) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
        };
        table.cuDeviceGetGraphMemAttribute = [](CUdevice, CUgraphMem_attribute, void* value) {
            const std::lock_guard lock(gpu.mutex);
            *static_cast<cuuint64_t*>(value) = gpu.reserved;
            return CUDA_SUCCESS;
        };
        table.cuDeviceGraphMemTrim = [](CUdevice) {
            const std::lock_guard lock(gpu.mutex);
            gpu.reserved = gpu.kept;
            return CUDA_SUCCESS;
        };
        table.cuMemAllocFromPoolAsync = [](CUdeviceptr* made, std::size_t, CUmemoryPool, CUstream) {
            *made = make_address();
            return gpu.calls->called("allocate");
        };
    }
    void add_capture_functions() {
        auto& table = driver.table;
        table.cuStreamBeginCapture_v2 = [](CUstream, CUstreamCaptureMode) {
            gpu.capturing = true;
            return CUDA_SUCCESS;
        };
        table.cuStreamBeginCaptureToGraph = [](CUstream, CUgraph, const CUgraphNode*,
                                               const CUgraphEdgeData*, std::size_t,
                                               CUstreamCaptureMode) {
            gpu.capturing = true;
            return CUDA_SUCCESS;
        };
        table.cuStreamIsCapturing = [](CUstream, CUstreamCaptureStatus* status) {
            *status =
                gpu.capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
            return CUDA_SUCCESS;
        };
        table.cuStreamGetCaptureInfo = [](CUstream own, CUstreamCaptureStatus* status,
                                          cuuint64_t* id) {
            *id = 77;
            return gpu.calls->table.cuStreamIsCapturing(own, status);
        };
        table.cuStreamGetCaptureInfo_v3 =
            [](CUstream own, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
               const CUgraphNode** nodes, const CUgraphEdgeData** edges, std::size_t* count) {
                *graph = reinterpret_cast<CUgraph>(0x100);
                *nodes = nullptr;
                *edges = nullptr;
                *count = 0;
                return gpu.calls->table.cuStreamGetCaptureInfo(own, status, id);
            };
        table.cuStreamEndCapture = [](CUstream, CUgraph* graph) {
            gpu.capturing = false;
            *graph = reinterpret_cast<CUgraph>(0x100);
            return gpu.calls->called("end");
        };
    }

    GraphHandle make_graph() {
        wire::cuGraphCreate::Reply reply{};
        REQUIRE(call<wire::cuGraphCreate>({}, {}, {}, reply) == CUDA_SUCCESS);
        return reply.phGraph;
    }
    template <typename Part>
    CUresult add(GraphHandle graph, CUgraphNodeType type, const Part& part,
                 wire::cuGraphAddNode_v2::Reply& reply, std::size_t bytes = sizeof(Part)) {
        wire::cuGraphAddNode_v2::Request request{};
        request.graph = graph;
        request.type = type;
        request.payload_bytes = static_cast<std::uint32_t>(bytes);
        return call<wire::cuGraphAddNode_v2>(context, {}, request, reply,
                                             std::as_bytes(std::span(&part, 1)).first(bytes));
    }
    CUresult allocate(GraphHandle graph, std::uint64_t bytes) {
        wire::cuGraphAddNode_v2::Reply reply{};
        const CUresult result =
            add(graph, CU_GRAPH_NODE_TYPE_MEM_ALLOC, node::MemAlloc{0, bytes, 0, 0, 0}, reply);
        address = reply.address;
        allocation = reply.node;
        return result;
    }
    CUresult allocate_in_stream(std::uint64_t bytes) {
        wire::cuMemAllocAsync::Request request{};
        request.stream = stream.stream;
        request.bytes = bytes;
        wire::cuMemAllocAsync::Reply reply{};
        const CUresult result = call<wire::cuMemAllocAsync>(context, {}, request, reply);
        if (result == CUDA_SUCCESS) address = reply.address;
        return result;
    }
    GraphExecHandle instantiate(GraphHandle graph) { return make_exec(context, graph); }
    CUresult destroy(GraphHandle graph) {
        wire::cuGraphDestroy::Reply reply{};
        return call<wire::cuGraphDestroy>({}, {}, {graph}, reply);
    }
    CUresult destroy(GraphExecHandle exec) {
        wire::cuGraphExecDestroy::Reply reply{};
        return call<wire::cuGraphExecDestroy>({}, {}, {exec}, reply);
    }
    CUresult free(std::uint64_t freed) {
        wire::cuMemFree_v2::Reply reply{};
        return call<wire::cuMemFree_v2>(context, {}, {freed}, reply);
    }
    bool ended(std::uint64_t asked) {
        wire::graph_memory_ended::Request request{};
        request.count = 1;
        request.payload_bytes = sizeof asked;
        wire::graph_memory_ended::Reply reply{};
        REQUIRE(call<wire::graph_memory_ended>(
                    {}, {}, request, reply, std::as_bytes(std::span(&asked, 1))) == CUDA_SUCCESS);
        return reply.ended[0] != 0;
    }

    ContextHandle context;
    wire::cuStreamCreateWithPriority::Reply stream;
    std::uint64_t address = 0;
    GraphNodeHandle allocation;
};

}  // namespace

TEST_CASE("what a graph allocates is charged in pages before the driver is asked",
          "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle graph = fake.make_graph();
    REQUIRE(fake.allocate(graph, 1) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == kPage);
    REQUIRE(fake.allocate(graph, kPage + 1) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 3 * kPage);
    CHECK(fake.allocate(graph, kPage + 1) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.allocate(graph, std::numeric_limits<std::uint64_t>::max()) ==
          CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.allocate(graph, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("add") == 2);
    // What the driver refuses costs nothing.
    fake.driver.fail("add", CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.allocate(graph, kPage) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.cubard.used() == 3 * kPage);
}

TEST_CASE("an allocation that no honest guest asks for is refused", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle graph = fake.make_graph();
    wire::cuGraphAddNode_v2::Reply reply{};
    constexpr auto kType = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    const node::MemAlloc plain{0, kPage, 0, 0, 0};
    CHECK(fake.add(graph, kType, plain, reply, sizeof plain - 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.add(graph, kType, node::MemAlloc{0, kPage, 0, 0, 1}, reply) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.add(graph, kType, node::MemAlloc{0, kPage, 0, 99, 0}, reply) ==
          CUDA_ERROR_INVALID_DEVICE);
    CHECK(fake.add(GraphHandle(1, 99), kType, plain, reply) == CUDA_ERROR_INVALID_VALUE);
    // No charge would cover a node that becomes an allocation.
    REQUIRE(fake.allocate(graph, kPage) == CUDA_SUCCESS);
    wire::cuGraphNodeSetParams::Request set{};
    set.node = fake.allocation;
    set.type = kType;
    set.payload_bytes = sizeof plain;
    wire::cuGraphNodeSetParams::Reply none{};
    CHECK(fake.call<wire::cuGraphNodeSetParams>(fake.context, {}, set, none,
                                                std::as_bytes(std::span(&plain, 1))) ==
          CUDA_ERROR_NOT_SUPPORTED);
    CHECK(fake.driver.count("set") == 0);
    CHECK(fake.driver.count("add") == 1);
    CHECK(fake.cubard.used() == kPage);
}

TEST_CASE("a charge lasts as long as any graph or the driver has the address", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle graph = fake.make_graph();
    REQUIRE(fake.allocate(graph, kPage) == CUDA_SUCCESS);
    const GraphExecHandle exec = fake.instantiate(graph);
    // A driver might know nothing of it between launches: the graph is there.
    forget(fake.address);
    CHECK_FALSE(fake.ended(fake.address));
    CHECK(fake.destroy(graph) == CUDA_SUCCESS);
    CHECK_FALSE(fake.ended(fake.address));
    CHECK(fake.cubard.used() == kPage);
    SECTION("which ends with the executable graph") {
        CHECK(fake.destroy(exec) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
        CHECK(fake.ended(fake.address));
    }
    SECTION("or later, where it is allocated still") {
        {
            const std::lock_guard lock(gpu.mutex);
            gpu.known.insert(fake.address);
        }
        CHECK(fake.destroy(exec) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kPage);
        CHECK_FALSE(fake.ended(fake.address));
        forget(fake.address);
        CHECK(fake.free(fake.address) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
    SECTION("and ends unasked where the quota is needed") {
        {
            const std::lock_guard lock(gpu.mutex);
            gpu.known.insert(fake.address);
        }
        CHECK(fake.destroy(exec) == CUDA_SUCCESS);
        forget(fake.address);
        CHECK(fake.allocate(fake.make_graph(), kQuotaPages * kPage) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kQuotaPages * kPage);
    }
}

TEST_CASE("no free gives the charge of a graph's memory back", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle graph = fake.make_graph();
    REQUIRE(fake.allocate(graph, kPage) == CUDA_SUCCESS);
    CHECK(fake.free(fake.address) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == kPage);
    // Nor one of what stands for it among the charges.
    fake.driver.fail("cuMemFree", CUDA_ERROR_INVALID_VALUE);
    for (std::uint64_t guess : {std::uint64_t{0}, std::uint64_t{1}, fake.address + 1}) {
        CHECK(fake.free(guess) == CUDA_ERROR_INVALID_VALUE);
    }
    CHECK(fake.cubard.used() == kPage);
    wire::graph_free::Reply none{};
    const unsigned freed = fake.driver.count("cuMemFreeAsync");
    CHECK(fake.call<wire::graph_free>(fake.context, {}, {fake.stream.stream, 0x1234}, none) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("cuMemFreeAsync") == freed);
    CHECK(fake.call<wire::graph_free>(fake.context, {}, {fake.stream.stream, fake.address}, none) ==
          CUDA_SUCCESS);
    CHECK(fake.driver.count("cuMemFreeAsync") == freed + 1);
    CHECK(fake.cubard.used() == kPage);
}

TEST_CASE("a graph that was moved keeps its memory until the whole ends", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle whole = fake.make_graph();
    const GraphHandle part = fake.make_graph();
    REQUIRE(fake.allocate(part, kPage) == CUDA_SUCCESS);
    forget(fake.address);
    wire::cuGraphAddNode_v2::Reply reply{};
    REQUIRE(fake.add(whole, CU_GRAPH_NODE_TYPE_GRAPH, node::Child{part, 1, 0}, reply) ==
            CUDA_SUCCESS);
    CHECK(fake.destroy(part) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("graph destroy") == 0);
    CHECK_FALSE(fake.ended(fake.address));
    const GraphExecHandle exec = fake.instantiate(whole);
    CHECK(fake.destroy(whole) == CUDA_SUCCESS);
    CHECK(fake.destroy(part) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.cubard.used() == kPage);
    CHECK(fake.destroy(exec) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("no less is charged than the driver reserves for graphs", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphHandle graph = fake.make_graph();
    REQUIRE(fake.allocate(graph, kPage) == CUDA_SUCCESS);
    const GraphExecHandle exec = fake.instantiate(graph);
    wire::graph_launch::Reply none{};
    const auto launch = [&] {
        return fake.call<wire::graph_launch>(fake.context, fake.stream.stream,
                                             {exec, fake.stream.stream}, none);
    };
    set_reserved(3, 2);
    REQUIRE(launch() == CUDA_SUCCESS);
    CHECK(fake.driver.count("launch") == 1);
    CHECK(fake.cubard.used() == 3 * kPage);
    // Beyond the quota it must give back what it can.
    set_reserved(kQuotaPages + 1, 2);
    REQUIRE(launch() == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 2 * kPage);
    set_reserved(3, 2);
    CHECK(fake.destroy(graph) == CUDA_SUCCESS);
    forget(fake.address);
    CHECK(fake.destroy(exec) == CUDA_SUCCESS);
    // The driver may forget an address before it gives up the memory.
    CHECK(fake.cubard.used() == 2 * kPage);
    set_reserved(2, 0);
    wire::cuDeviceGraphMemTrim::Reply trimmed{};
    CHECK(fake.call<wire::cuDeviceGraphMemTrim>({}, {}, {}, trimmed) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("a launch of a graph with memory is answered, and has a fence", "[graph_memory]") {
    GraphMemorySession fake;
    const GraphExecHandle exec = fake.instantiate(fake.make_graph());
    wire::graph_launch::Reply none{};
    auto pending = fake.begin<wire::graph_launch>(fake.context, fake.stream.stream,
                                                  {exec, fake.stream.stream});
    REQUIRE(pending.wait(none) == CUDA_SUCCESS);
    fake.await_fence(fake.stream.fence, 1);
    fake.driver.fail("launch", CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.call<wire::graph_launch>(fake.context, fake.stream.stream,
                                        {exec, fake.stream.stream},
                                        none) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.control().error_code.load() == CUDA_SUCCESS);
}

TEST_CASE("what a capture allocates is charged like a node", "[graph_memory]") {
    GraphMemorySession fake;
    wire::cuStreamBeginCapture_v2::Reply begun{};
    REQUIRE(fake.call<wire::cuStreamBeginCapture_v2>(fake.context, {}, {fake.stream.stream},
                                                     begun) == CUDA_SUCCESS);
    REQUIRE(fake.allocate_in_stream(1) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == kPage);
    CHECK(fake.allocate_in_stream(kQuotaPages * kPage) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("allocate") == 1);
    wire::cuStreamEndCapture::Reply captured{};
    const auto end = [&] {
        return fake.call<wire::cuStreamEndCapture>(fake.context, {}, {fake.stream.stream},
                                                   captured);
    };
    forget(fake.address);
    SECTION("and ends with its graph") {
        REQUIRE(end() == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kPage);
        CHECK(fake.destroy(captured.graph) == CUDA_SUCCESS);
    }
    SECTION("or with the capture, if that fails") {
        fake.driver.fail("end", CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
        CHECK(end() == CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    }
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("a capture whose graph has ended allocates nothing", "[graph_memory]") {
    GraphMemorySession fake;
    wire::cuStreamBeginCaptureToGraph::Request begin{};
    begin.stream = fake.stream.stream;
    begin.graph = fake.make_graph();
    wire::cuStreamBeginCaptureToGraph::Reply begun{};
    REQUIRE(fake.call<wire::cuStreamBeginCaptureToGraph>(fake.context, {}, begin, begun) ==
            CUDA_SUCCESS);
    REQUIRE(fake.allocate_in_stream(1) == CUDA_SUCCESS);
    REQUIRE(fake.destroy(begin.graph) == CUDA_SUCCESS);
    CHECK(fake.allocate_in_stream(1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("allocate") == 1);
}

TEST_CASE("questions about graphs' memory are counted", "[graph_memory]") {
    GraphMemorySession fake;
    const std::vector<std::byte> few(8);
    wire::graph_memory_ended::Request request{};
    request.count = 2;
    request.payload_bytes = static_cast<std::uint32_t>(few.size());
    wire::graph_memory_ended::Reply reply{};
    CHECK(fake.call<wire::graph_memory_ended>({}, {}, request, reply, few) ==
          CUDA_ERROR_INVALID_VALUE);
    const std::vector<std::byte> many((std::size(reply.ended) + 1) * 8);
    request.count = static_cast<std::uint32_t>(std::size(reply.ended) + 1);
    request.payload_bytes = static_cast<std::uint32_t>(many.size());
    CHECK(fake.call<wire::graph_memory_ended>({}, {}, request, reply, many) ==
          CUDA_ERROR_INVALID_VALUE);
}
