// SPDX-License-Identifier: Apache-2.0
// Memory that graphs allocate and free: where it may be touched, who may free it, what comes back.
#include <cuda.h>

#include <utility>

#include "test/unit/softgpu/graph_fixture.h"

namespace {

constexpr std::size_t kBytes = 1024;

struct Memory : Device {
    Memory() { SUCCEEDS(cuGraphCreate(&graph, 0)); }
    ~Memory() {
        if (exec != nullptr) cuGraphExecDestroy(exec);
        if (graph != nullptr) cuGraphDestroy(graph);
        cuDeviceGraphMemTrim(0);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    static CUDA_MEM_ALLOC_NODE_PARAMS wanted(std::size_t bytes) {
        CUDA_MEM_ALLOC_NODE_PARAMS parameters{};
        parameters.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
        parameters.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
        parameters.bytesize = bytes;
        return parameters;
    }
    CUgraphNode allocate(std::size_t bytes = kBytes) {
        CUDA_MEM_ALLOC_NODE_PARAMS parameters = wanted(bytes);
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &parameters));
        address = parameters.dptr;
        return node;
    }
    CUgraphNode fill(CUgraphNode after, unsigned value) {
        const CUDA_MEMSET_NODE_PARAMS filled{address, 0, value, 4, kBytes / 4, 1};
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphAddMemsetNode(&node, graph, &after, 1, &filled, context));
        return node;
    }
    CUgraphNode copy_out(CUgraphNode after) {
        const CUDA_MEMCPY3D copy = to_host(&host, address, 4);
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphAddMemcpyNode(&node, graph, &after, 1, &copy, context));
        return node;
    }
    CUgraphNode free_after(CUgraphNode after) {
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphAddMemFreeNode(&node, graph, &after, 1, address));
        return node;
    }
    void instantiate(unsigned flags = 0) {
        SUCCEEDS(cuGraphInstantiateWithFlags(&exec, graph, flags));
    }
    void run() {
        SUCCEEDS(cuGraphLaunch(exec, stream));
        SUCCEEDS(cuStreamSynchronize(stream));
    }
    static cuuint64_t attribute(CUgraphMem_attribute which) {
        cuuint64_t value = ~cuuint64_t{0};
        SUCCEEDS(cuDeviceGetGraphMemAttribute(0, which, &value));
        return value;
    }
    static std::size_t available() {
        std::size_t free = 0, total = 0;
        SUCCEEDS(cuMemGetInfo(&free, &total));
        return free;
    }

    CUgraph graph = nullptr;
    CUgraphExec exec = nullptr;
    CUdeviceptr address = 0;
    unsigned host = 0;
};

}  // namespace

TEST_CASE_METHOD(Memory, "a graph allocates, uses and frees memory at each launch") {
    const std::size_t before = available();
    const CUgraphNode allocation = allocate();
    const CUgraphNode end = free_after(copy_out(fill(allocation, 7)));
    CHECK(type_of(allocation) == CU_GRAPH_NODE_TYPE_MEM_ALLOC);
    CHECK(type_of(end) == CU_GRAPH_NODE_TYPE_MEM_FREE);
    CUDA_MEM_ALLOC_NODE_PARAMS shown{};
    SUCCEEDS(cuGraphMemAllocNodeGetParams(allocation, &shown));
    CHECK((shown.dptr == address && shown.bytesize == kBytes && shown.accessDescCount == 0));
    CUdeviceptr freed = 0;
    SUCCEEDS(cuGraphMemFreeNodeGetParams(end, &freed));
    CHECK(freed == address);
    CHECK(cuGraphMemFreeNodeGetParams(allocation, &freed) == CUDA_ERROR_INVALID_VALUE);
    CHECK(available() == before);  // an address alone takes no memory

    instantiate();
    for (unsigned launch = 0; launch < 3; ++launch) {
        host = 0;
        run();
        CHECK(host == 7);
    }
    CHECK(attribute(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT) == 0);
    CHECK(attribute(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH) >= kBytes);
    CHECK(attribute(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT) == before - available());
    SUCCEEDS(cuDeviceGraphMemTrim(0));
    CHECK(available() == before);
    CHECK(attribute(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT) == 0);
    run();
    CHECK(host == 7);
    CHECK(available() < before);
    // What the graph has freed itself is nobody else's to free.
    CHECK(cuMemFree(address) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFreeAsync(address, stream) == CUDA_ERROR_INVALID_VALUE);
    // With the last that knows it, it goes back by itself.
    SUCCEEDS(cuGraphDestroy(std::exchange(graph, nullptr)));
    run();
    SUCCEEDS(cuGraphExecDestroy(std::exchange(exec, nullptr)));
    CHECK(available() == before);
    CHECK(cuMemFree(address) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Memory, "before a launch nobody may touch what a graph will allocate") {
    allocate();
    CHECK(cuMemcpyDtoH(&host, address, 4) == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(Memory, "what a launch leaves allocated is used and freed in streams") {
    const std::size_t before = available();
    fill(allocate(), 9);
    instantiate();
    run();
    SUCCEEDS(cuMemcpyDtoH(&host, address, 4));
    CHECK(host == 9);
    CHECK(attribute(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT) >= kBytes);
    CHECK(cuGraphLaunch(exec, stream) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuDeviceGraphMemTrim(0));
    SUCCEEDS(cuMemcpyDtoH(&host, address, 4));
    SUCCEEDS(cuMemFreeAsync(address, other));
    CHECK(cuMemFreeAsync(address, other) == CUDA_ERROR_INVALID_VALUE);
    // The next launch comes after that free, whichever stream it is in.
    run();
    SUCCEEDS(cuMemcpyDtoH(&host, address, 4));
    CHECK(host == 9);
    SUCCEEDS(cuGraphExecDestroy(std::exchange(exec, nullptr)));
    SUCCEEDS(cuGraphDestroy(std::exchange(graph, nullptr)));
    SUCCEEDS(cuMemcpyDtoH(&host, address, 4));
    CHECK(available() < before);
    SUCCEEDS(cuMemFree(address));
    CHECK(available() == before);
}

TEST_CASE_METHOD(Memory, "a launch frees what the one before left, if it was told to") {
    fill(allocate(), 9);
    instantiate(CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
    run();
    run();
    SUCCEEDS(cuMemcpyDtoH(&host, address, 4));
    CHECK(host == 9);
    SUCCEEDS(cuMemFree(address));
}

TEST_CASE_METHOD(Memory, "another graph frees what one has allocated") {
    const CUgraphNode allocation = allocate();
    CUgraph second = nullptr;
    CUgraphExec frees = nullptr;
    CUgraphNode node = nullptr;
    SUCCEEDS(cuGraphCreate(&second, 0));
    SUCCEEDS(cuGraphAddMemFreeNode(&node, second, nullptr, 0, address));
    CHECK(cuGraphAddMemFreeNode(&node, second, nullptr, 0, address) == CUDA_ERROR_INVALID_VALUE);
    // Not in both.
    CHECK(cuGraphAddMemFreeNode(&node, graph, &allocation, 1, address) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphInstantiate(&frees, second, 0));
    instantiate();
    CHECK(cuGraphLaunch(frees, stream) == CUDA_ERROR_INVALID_VALUE);
    for (unsigned launch = 0; launch < 2; ++launch) {
        run();
        SUCCEEDS(cuGraphLaunch(frees, stream));
    }
    CHECK(cuGraphLaunch(frees, stream) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphExecDestroy(frees));
    SUCCEEDS(cuGraphDestroy(second));
}

TEST_CASE_METHOD(Memory, "a graph that owns memory is one, keeps its parts, and runs once") {
    const CUgraphNode allocation = allocate();
    const CUgraphNode filled = fill(allocation, 1);
    const CUgraphNode end = free_after(filled);
    CUgraphNode node = nullptr;
    CHECK(cuGraphAddMemFreeNode(&node, graph, &end, 1, address) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphAddMemFreeNode(&node, graph, &end, 1, values) == CUDA_ERROR_INVALID_VALUE);
    CUgraph copy = nullptr;
    CHECK(cuGraphClone(&copy, graph) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphDestroyNode(filled) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphRemoveDependencies(graph, &filled, &end, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    instantiate();
    CUgraphExec second = nullptr;
    CHECK(cuGraphInstantiate(&second, graph, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphExecDestroy(std::exchange(exec, nullptr)));
    instantiate();
    run();

    CUgraph parent = nullptr;
    SUCCEEDS(cuGraphCreate(&parent, 0));
    CHECK(cuGraphAddChildGraphNode(&node, parent, nullptr, 0, graph) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuStreamBeginCapture(other, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK(cuGraphLaunch(exec, other) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuStreamEndCapture(other, &copy));
    SUCCEEDS(cuGraphDestroy(copy));
    SUCCEEDS(cuGraphExecDestroy(std::exchange(exec, nullptr)));

    CUgraphNodeParams moved{};
    moved.type = CU_GRAPH_NODE_TYPE_GRAPH;
    moved.graph.graph = graph;
    moved.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
    SUCCEEDS(cuGraphAddNode(&node, parent, nullptr, nullptr, 0, &moved));
    CUDA_MEM_ALLOC_NODE_PARAMS more = wanted(kBytes);
    CHECK(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &more) == CUDA_ERROR_INVALID_VALUE);
    graph = parent;
    instantiate();
    run();
}

TEST_CASE_METHOD(Memory, "memory is freed after it was allocated") {
    allocate();
    CUgraphNode end = nullptr;
    SUCCEEDS(cuGraphAddMemFreeNode(&end, graph, nullptr, 0, address));
    CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
    CHECK(cuGraphInstantiateWithParams(&exec, graph, &parameters) == CUDA_ERROR_INVALID_VALUE);
    CHECK(parameters.hErrNode_out == end);
}

TEST_CASE_METHOD(Memory, "wrong parameters of memory nodes") {
    CUgraphNode node = nullptr;
    const auto refused = [&](CUDA_MEM_ALLOC_NODE_PARAMS parameters) {
        return cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &parameters);
    };
    CHECK(refused(wanted(0)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused(wanted(std::size_t{1} << 60)) == CUDA_ERROR_OUT_OF_MEMORY);
    auto parameters = wanted(kBytes);
    parameters.poolProps.location.id = 99;
    CHECK(refused(parameters) == CUDA_ERROR_INVALID_DEVICE);
    parameters = wanted(kBytes);
    parameters.accessDescCount = 1;
    CHECK(refused(parameters) == CUDA_ERROR_INVALID_VALUE);
    parameters = wanted(kBytes);
    parameters.poolProps.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    CHECK(refused(parameters) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, nullptr) == CUDA_ERROR_INVALID_VALUE);
    cuuint64_t one = 1;
    CHECK(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &one) ==
          CUDA_ERROR_INVALID_VALUE);
    cuuint64_t none = 0;
    SUCCEEDS(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &none));
    CHECK(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &none) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDeviceGraphMemTrim(99) == CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE_METHOD(Memory, "a launch that finds no memory fails, and the next one can succeed") {
    allocate(available());
    instantiate();
    CUdeviceptr some = 0;
    SUCCEEDS(cuMemAlloc(&some, std::size_t{4} << 20));
    CHECK(cuGraphLaunch(exec, stream) == CUDA_ERROR_OUT_OF_MEMORY);
    SUCCEEDS(cuMemFree(some));
    run();
    SUCCEEDS(cuMemFree(address));
}

TEST_CASE_METHOD(Memory, "captured allocations and frees become nodes") {
    CUdeviceptr from_pool = 0;
    SUCCEEDS(cuMemAllocAsync(&from_pool, kBytes, stream));
    SUCCEEDS(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    SUCCEEDS(cuMemAllocAsync(&address, kBytes, stream));
    SUCCEEDS(cuMemsetD32Async(address, 5, kBytes / 4, stream));
    SUCCEEDS(cuMemcpyDtoDAsync(values, address, 4, stream));
    CHECK(cuMemFreeAsync(from_pool, stream) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFreeAsync(address, stream));
    SUCCEEDS(cuGraphDestroy(graph));
    SUCCEEDS(cuStreamEndCapture(stream, &graph));
    const auto nodes = nodes_of(graph);
    REQUIRE(nodes.size() == 4);
    CHECK(type_of(nodes[0]) == CU_GRAPH_NODE_TYPE_MEM_ALLOC);
    CHECK(type_of(nodes[3]) == CU_GRAPH_NODE_TYPE_MEM_FREE);
    instantiate();
    run();
    CHECK(value() == 5);
    SUCCEEDS(cuMemFree(from_pool));
}

TEST_CASE_METHOD(Memory, "an update keeps the memory of the executable graph's own nodes") {
    free_after(fill(allocate(), 1));
    instantiate();
    CUgraphExecUpdateResultInfo info{};
    SUCCEEDS(cuGraphExecUpdate(exec, graph, &info));
    CUgraph first = graph;
    SUCCEEDS(cuGraphCreate(&graph, 0));
    free_after(fill(allocate(), 1));
    CHECK(cuGraphExecUpdate(exec, graph, &info) == CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED);
    SUCCEEDS(cuGraphDestroy(first));
}
