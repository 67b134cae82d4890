// SPDX-License-Identifier: Apache-2.0
// Graphs that are built node by node: their structure, their nodes, what they do.
#include <cuda.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>

#include "test/unit/softgpu/graph_fixture.h"

namespace {

struct Building : Device {
    Building() { SUCCEEDS(cuGraphCreate(&graph, 0)); }
    ~Building() { cuGraphDestroy(graph); }

    CUgraphNode empty(std::vector<CUgraphNode> after = {}) {
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphAddEmptyNode(&node, graph, after.data(), after.size()));
        return node;
    }
    CUgraphNode launch_node(unsigned factor, unsigned amount, std::vector<CUgraphNode> after = {}) {
        CUgraphNode node = nullptr;
        const KernelNode parameters(*this, factor, amount);
        SUCCEEDS(cuGraphAddKernelNode(&node, graph, after.data(), after.size(), &parameters.node));
        return node;
    }

    CUgraph graph = nullptr;
};

CUgraphEdgeData programmatic() {
    CUgraphEdgeData data{};
    data.type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
    data.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
    return data;
}

}  // namespace

TEST_CASE_METHOD(Building, "nodes and edges are listed as they were made") {
    const CUgraphNode a = empty();
    const CUgraphNode b = empty({a});
    const CUgraphNode c = empty({b, a});
    CHECK(nodes_of(graph) == std::vector{a, b, c});
    CUgraphNode found[5] = {b, b, b, b, b};
    std::size_t count = 5;
    SUCCEEDS(cuGraphGetNodes(graph, found, &count));
    CHECK(count == 3);
    CHECK(found[4] == nullptr);
    count = 2;
    SUCCEEDS(cuGraphGetNodes(graph, found, &count));
    CHECK(count == 2);
    count = 5;
    SUCCEEDS(cuGraphGetRootNodes(graph, found, &count));
    CHECK(count == 1);
    CHECK(found[0] == a);
    count = 5;
    SUCCEEDS(cuGraphNodeGetDependencies(c, found, nullptr, &count));
    CHECK(count == 2);
    CHECK(found[0] == b);
    CHECK(found[1] == a);
    count = 5;
    SUCCEEDS(cuGraphNodeGetDependentNodes(a, found, nullptr, &count));
    CHECK(count == 2);
    CHECK(found[1] == c);
    CUgraphNode to[5];
    count = 5;
    SUCCEEDS(cuGraphGetEdges(graph, found, to, nullptr, &count));
    CHECK(count == 3);
    CHECK(found[0] == a);
    CHECK(to[0] == b);
    SUCCEEDS(cuGraphDestroyNode(b));
    CHECK(node_count(graph) == 2);
    SUCCEEDS(cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
    CHECK(count == 1);
    CHECK(cuGraphDestroyNode(b) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "dependencies that make no sense are refused") {
    const CUgraphNode a = empty();
    const CUgraphNode b = empty({a});
    CUgraphNode made = nullptr;
    const CUgraphNode twice[] = {a, a};
    CHECK(cuGraphAddEmptyNode(&made, graph, twice, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddEmptyNode(&made, graph, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddEmptyNode(&made, nullptr, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddDependencies(graph, &a, &a, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddDependencies(graph, &a, &b, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphRemoveDependencies(graph, &b, &a, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    // All edges of a call or none.
    const CUgraphNode c = empty();
    const CUgraphNode from[] = {a, a};
    const CUgraphNode to[] = {c, b};
    CHECK(cuGraphAddDependencies(graph, from, to, nullptr, 2) == CUDA_ERROR_INVALID_VALUE);
    std::size_t count = 9;
    SUCCEEDS(cuGraphNodeGetDependencies(c, nullptr, nullptr, &count));
    CHECK(count == 0);
    CUgraph stranger = nullptr;
    SUCCEEDS(cuGraphCreate(&stranger, 0));
    CHECK(cuGraphAddEmptyNode(&made, stranger, &a, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddDependencies(stranger, &a, &c, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphDestroy(stranger));
    CHECK(cuGraphDestroy(stranger) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphCreate(&stranger, 1) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "a cycle is found when the graph is made executable") {
    const CUgraphNode a = empty();
    const CUgraphNode b = empty({a});
    SUCCEEDS(cuGraphAddDependencies(graph, &b, &a, nullptr, 1));
    CUgraphExec exec = nullptr;
    CHECK(cuGraphInstantiate(&exec, graph, 0) == CUDA_ERROR_INVALID_VALUE);
    CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
    CHECK(cuGraphInstantiateWithParams(&exec, graph, &parameters) == CUDA_ERROR_INVALID_VALUE);
    CHECK(parameters.result_out == CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    CHECK(parameters.hErrNode_out == a);
    SUCCEEDS(cuGraphRemoveDependencies(graph, &b, &a, nullptr, 1));
    SUCCEEDS(cuGraphInstantiateWithParams(&exec, graph, &parameters));
    CHECK(parameters.result_out == CUDA_GRAPH_INSTANTIATE_SUCCESS);
    SUCCEEDS(cuGraphExecDestroy(exec));
}

TEST_CASE_METHOD(Building, "edges with data lead from kernel to kernel") {
    const CUgraphNode a = launch_node(1, 1);
    const CUgraphNode b = launch_node(10, 0);
    const CUgraphNode c = empty();
    const CUgraphEdgeData data = programmatic();
    SUCCEEDS(cuGraphAddDependencies(graph, &a, &b, &data, 1));
    CHECK(cuGraphAddDependencies(graph, &a, &c, &data, 1) == CUDA_ERROR_INVALID_VALUE);
    CUgraphNode from[1], to[1];
    CUgraphEdgeData shown[1];
    std::size_t count = 1;
    CHECK(cuGraphGetEdges(graph, from, to, nullptr, &count) == CUDA_ERROR_LOSSY_QUERY);
    SUCCEEDS(cuGraphGetEdges(graph, from, to, shown, &count));
    CHECK(shown[0].from_port == CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC);
    CHECK(cuGraphRemoveDependencies(graph, &a, &b, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    run(graph);
    CHECK(value() == 20);
    SUCCEEDS(cuGraphRemoveDependencies(graph, &a, &b, &data, 1));
}

TEST_CASE_METHOD(Building, "nodes run in the order of their edges, not of their making") {
    const CUgraphNode last = launch_node(10, 0);
    const CUgraphNode middle = launch_node(1, 3);
    const CUgraphNode first = launch_node(5, 0);
    SUCCEEDS(cuGraphAddDependencies(graph, &first, &middle, nullptr, 1));
    SUCCEEDS(cuGraphAddDependencies(graph, &middle, &last, nullptr, 1));
    run(graph);
    CHECK(value() == 80);
}

TEST_CASE_METHOD(Building, "every type of node") {
    CUevent event = nullptr;
    SUCCEEDS(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    unsigned host = 0;
    static std::atomic<int> called;
    called = 0;

    std::vector<CUgraphNode> chain;
    const auto add = [&](CUgraphNodeParams parameters) {
        CUgraphNode node = nullptr;
        const CUgraphNode* before = chain.empty() ? nullptr : &chain.back();
        SUCCEEDS(cuGraphAddNode(&node, graph, before, nullptr, chain.empty() ? 0 : 1, &parameters));
        CHECK(type_of(node) == parameters.type);
        chain.push_back(node);
    };
    const auto of = [](CUgraphNodeType type) {
        CUgraphNodeParams parameters{};
        parameters.type = type;
        return parameters;
    };

    auto fill = of(CU_GRAPH_NODE_TYPE_MEMSET);
    fill.memset = {values, 0, 4, 4, kCount, 1, context};
    add(fill);
    auto launch = of(CU_GRAPH_NODE_TYPE_KERNEL);
    const KernelNode kernel_node(*this, 2, 1);
    std::memcpy(&launch.kernel, &kernel_node.node, sizeof kernel_node.node);
    add(launch);
    auto record = of(CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    record.eventRecord.event = event;
    add(record);
    auto wait = of(CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    wait.eventWait.event = event;
    add(wait);
    CUgraph child = nullptr;
    SUCCEEDS(cuGraphCreate(&child, 0));
    CUgraphNode inner = nullptr;
    const KernelNode inner_node(*this, 10, 0);
    SUCCEEDS(cuGraphAddKernelNode(&inner, child, nullptr, 0, &inner_node.node));
    auto nested = of(CU_GRAPH_NODE_TYPE_GRAPH);
    nested.graph = {child, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE};
    add(nested);
    SUCCEEDS(cuGraphDestroy(child));
    CUstreamBatchMemOpParams operation{};
    operation.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    operation.writeValue.address = values + 4;
    operation.writeValue.value = 77;
    auto batch = of(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    batch.memOp = {context, 1, &operation, 0};
    add(batch);
    add(of(CU_GRAPH_NODE_TYPE_EMPTY));
    auto copy = of(CU_GRAPH_NODE_TYPE_MEMCPY);
    copy.memcpy.copyCtx = context;
    copy.memcpy.copyParams = to_host(&host, values, 4);
    add(copy);
    auto call = of(CU_GRAPH_NODE_TYPE_HOST);
    call.host = {[](void* seen) { called = static_cast<int>(*static_cast<unsigned*>(seen)); },
                 &host};
    add(call);

    run(graph);
    CHECK(called == 90);
    unsigned word = 0;
    SUCCEEDS(cuMemcpyDtoH(&word, values + 4, 4));
    CHECK(word == 77);
    SUCCEEDS(cuEventQuery(event));

    CUgraphNode made = nullptr;
    for (const auto type :
         {CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT}) {
        auto refused = of(type);
        CHECK(cuGraphAddNode(&made, graph, nullptr, nullptr, 0, &refused) ==
              CUDA_ERROR_NOT_SUPPORTED);
    }
    auto reserved = of(CU_GRAPH_NODE_TYPE_EMPTY);
    reserved.reserved2 = 1;
    CHECK(cuGraphAddNode(&made, graph, nullptr, nullptr, 0, &reserved) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "a node's parameters can be asked and set") {
    const CUgraphNode node = launch_node(2, 3);
    CUDA_KERNEL_NODE_PARAMS shown{};
    SUCCEEDS(cuGraphKernelNodeGetParams(node, &shown));
    CHECK(shown.func == kernel);
    CHECK(shown.blockDimX == kCount);
    CHECK(*static_cast<unsigned*>(shown.kernelParams[2]) == 3);
    const KernelNode next(*this, 4, 5);
    SUCCEEDS(cuGraphKernelNodeSetParams(node, &next.node));
    run(graph);
    CHECK(value() == 9);
    KernelNode wrong(*this, 1, 1);
    wrong.node.blockDimX = 5000;
    CHECK(cuGraphKernelNodeSetParams(node, &wrong.node) == CUDA_ERROR_INVALID_VALUE);
    wrong.node.blockDimX = 1;
    wrong.node.func = nullptr;
    CHECK(cuGraphKernelNodeSetParams(node, &wrong.node) == CUDA_ERROR_INVALID_VALUE);

    CUgraphNode fill = nullptr, copy = nullptr;
    unsigned host = 0;
    CUDA_MEMSET_NODE_PARAMS filled{values, 0, 7, 4, kCount, 1};
    SUCCEEDS(cuGraphAddMemsetNode(&fill, graph, &node, 1, &filled, context));
    const CUDA_MEMCPY3D down = to_host(&host, values, 4);
    SUCCEEDS(cuGraphAddMemcpyNode(&copy, graph, &fill, 1, &down, context));
    filled = {};
    SUCCEEDS(cuGraphMemsetNodeGetParams(fill, &filled));
    CHECK(filled.value == 7);
    filled.value = 8;
    SUCCEEDS(cuGraphMemsetNodeSetParams(fill, &filled));
    filled.elementSize = 3;
    CHECK(cuGraphMemsetNodeSetParams(fill, &filled) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphMemsetNodeSetParams(copy, &filled) == CUDA_ERROR_INVALID_VALUE);
    CUDA_MEMCPY3D asked{};
    SUCCEEDS(cuGraphMemcpyNodeGetParams(copy, &asked));
    CHECK(asked.dstHost == &host);
    CHECK(cuGraphMemcpyNodeGetParams(fill, &asked) == CUDA_ERROR_INVALID_VALUE);
    run(graph);
    CHECK(host == 8);
    asked.srcDevice = 8;
    CHECK(cuGraphMemcpyNodeSetParams(copy, &asked) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "kernel nodes have attributes") {
    const CUgraphNode a = launch_node(1, 1);
    const CUgraphNode b = launch_node(1, 1);
    CUkernelNodeAttrValue value{};
    SUCCEEDS(cuGraphKernelNodeGetAttribute(a, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    CHECK(value.priority == 0);
    value.priority = -2;
    SUCCEEDS(cuGraphKernelNodeSetAttribute(a, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    SUCCEEDS(cuGraphKernelNodeCopyAttributes(b, a));
    value = {};
    SUCCEEDS(cuGraphKernelNodeGetAttribute(b, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    CHECK(value.priority == -2);
    // They are not among the parameters, and stay.
    const KernelNode next(*this, 1, 2);
    SUCCEEDS(cuGraphKernelNodeSetParams(b, &next.node));
    SUCCEEDS(cuGraphKernelNodeGetAttribute(b, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    CHECK(value.priority == -2);
    CHECK(cuGraphKernelNodeGetAttribute(b, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT, &value) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphKernelNodeGetAttribute(empty(), CU_LAUNCH_ATTRIBUTE_PRIORITY, &value) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "clones are apart, and their nodes can be found") {
    const CUgraphNode a = launch_node(1, 1);
    launch_node(10, 0, {a});
    CUgraph clone = nullptr;
    CUgraphNode twin = nullptr;
    SUCCEEDS(cuGraphClone(&clone, graph));
    SUCCEEDS(cuGraphNodeFindInClone(&twin, a, clone));
    CHECK(twin == nodes_of(clone)[0]);
    CHECK(twin != a);
    const KernelNode next(*this, 1, 4);
    SUCCEEDS(cuGraphKernelNodeSetParams(twin, &next.node));
    run(graph);
    CHECK(value() == 20);
    reset(1);
    run(clone);
    CHECK(value() == 50);
    CHECK(cuGraphNodeFindInClone(&twin, empty(), clone) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphDestroy(clone));
    CHECK(cuGraphKernelNodeSetParams(twin, &next.node) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "a child graph is the node's, cloned or moved") {
    CUgraph child = nullptr, embedded = nullptr;
    CUgraphNode inner = nullptr, node = nullptr;
    SUCCEEDS(cuGraphCreate(&child, 0));
    const KernelNode plus_one(*this, 1, 1);
    SUCCEEDS(cuGraphAddKernelNode(&inner, child, nullptr, 0, &plus_one.node));
    SUCCEEDS(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, child));
    SUCCEEDS(cuGraphChildGraphNodeGetGraph(node, &embedded));
    CHECK(embedded != child);
    CHECK(cuGraphDestroy(embedded) == CUDA_ERROR_INVALID_VALUE);
    // What is changed there changes the node.
    const KernelNode plus_five(*this, 1, 5);
    SUCCEEDS(cuGraphKernelNodeSetParams(nodes_of(embedded)[0], &plus_five.node));
    run(graph);
    CHECK(value() == 6);

    CUgraphNodeParams moved{};
    moved.type = CU_GRAPH_NODE_TYPE_GRAPH;
    moved.graph = {child, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE};
    CUgraphNode second = nullptr;
    CHECK(cuGraphAddNode(&second, child, nullptr, nullptr, 0, &moved) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphAddNode(&second, graph, nullptr, nullptr, 0, &moved));
    CHECK(cuGraphDestroy(child) == CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec = nullptr;
    CHECK(cuGraphInstantiate(&exec, child, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddChildGraphNode(&second, graph, nullptr, 0, child) == CUDA_ERROR_INVALID_VALUE);
    run(graph);
    CHECK(value() == 12);
    SUCCEEDS(cuGraphDestroyNode(node));
    CHECK(cuGraphGetNodes(embedded, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "a user object lives until its last graph has gone and run") {
    std::promise<void> destroyed;
    CUuserObject object = nullptr;
    SUCCEEDS(cuUserObjectCreate(
        &object, &destroyed,
        [](void* data) { static_cast<std::promise<void>*>(data)->set_value(); }, 2,
        CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    std::future<void> end = destroyed.get_future();
    const auto ended = [&] {
        return end.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    CHECK(cuUserObjectRelease(object, 3) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    SUCCEEDS(cuUserObjectRetain(object, 1));
    SUCCEEDS(cuUserObjectRelease(object, 2));
    CHECK(cuGraphReleaseUserObject(graph, object, 2) == CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec = nullptr;
    launch_node(1, 1);
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    SUCCEEDS(cuGraphReleaseUserObject(graph, object, 1));
    CHECK_FALSE(ended());
    // Held by the launch alone, whose stream stands still.
    std::uint32_t* word = nullptr;
    SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&word), 4, 0));
    *word = 0;
    SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(word), 1, 0));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    SUCCEEDS(cuGraphExecDestroy(exec));
    CHECK_FALSE(ended());
    std::atomic_ref(*word).store(1);
    end.wait();
    CHECK(cuUserObjectRetain(object, 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuStreamSynchronize(stream));
    CHECK(cuUserObjectCreate(&object, nullptr, nullptr, 1, 1) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Building, "a graph is printed for Graphviz") {
    const CUgraphNode a = launch_node(1, 1);
    empty({a});
    char path[] = "/tmp/cubar-graph-XXXXXX";
    const int descriptor = mkstemp(path);
    REQUIRE(descriptor >= 0);
    SUCCEEDS(cuGraphDebugDotPrint(graph, path, CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE));
    std::string text(4096, 0);
    std::FILE* file = fdopen(descriptor, "r");
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    std::remove(path);
    CHECK(text.rfind("digraph", 0) == 0);
    CHECK(text.find("scale_add") != std::string::npos);
    CHECK(text.find("block 64x1x1") != std::string::npos);
    CHECK(text.find("->") != std::string::npos);
    CHECK(cuGraphDebugDotPrint(graph, "/nowhere/at/all", 0) == CUDA_ERROR_OPERATING_SYSTEM);
}
