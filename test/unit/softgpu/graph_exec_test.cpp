// SPDX-License-Identifier: Apache-2.0
// Executable graphs: launches, updates, and what cannot be updated.
#include <cuda.h>

#include <cstring>
#include <future>

#include "test/unit/softgpu/graph_fixture.h"

namespace {

/// A graph of one memset to 1, one launch after it, and a copy to the host.
struct Executable : Device {
    Executable() {
        graph = make(2, 3);
        const auto nodes = nodes_of(graph);
        fill = nodes[0];
        launched = nodes[1];
        copied = nodes[2];
        SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    }
    CUgraph make(unsigned factor, unsigned amount, unsigned value = 1) {
        CUgraph made = nullptr;
        CUgraphNode first = nullptr, second = nullptr, third = nullptr;
        SUCCEEDS(cuGraphCreate(&made, 0));
        const CUDA_MEMSET_NODE_PARAMS filled{values, 0, value, 4, kCount, 1};
        SUCCEEDS(cuGraphAddMemsetNode(&first, made, nullptr, 0, &filled, context));
        const KernelNode parameters(*this, factor, amount);
        SUCCEEDS(cuGraphAddKernelNode(&second, made, &first, 1, &parameters.node));
        const CUDA_MEMCPY3D copy = to_host(&host, values, 4);
        SUCCEEDS(cuGraphAddMemcpyNode(&third, made, &second, 1, &copy, context));
        return made;
    }
    unsigned result() {
        SUCCEEDS(cuGraphLaunch(exec, stream));
        SUCCEEDS(cuStreamSynchronize(stream));
        return host;
    }
    CUgraphExecUpdateResult update(CUgraph next) {
        info = {};
        const CUresult error = cuGraphExecUpdate(exec, next, &info);
        CHECK(error == (info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS
                            ? CUDA_SUCCESS
                            : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE));
        return info.result;
    }

    unsigned host = 0;
    CUgraph graph = nullptr;
    CUgraphNode fill = nullptr, launched = nullptr, copied = nullptr;
    CUgraphExec exec = nullptr;
    CUgraphExecUpdateResultInfo info{};
};

}  // namespace

TEST_CASE_METHOD(Executable, "an executable graph can be launched again and again") {
    for (int round = 0; round < 5; ++round) CHECK(result() == 5);
    SUCCEEDS(cuGraphUpload(exec, stream));
    cuuint64_t flags = 9;
    SUCCEEDS(cuGraphExecGetFlags(exec, &flags));
    CHECK(flags == 0);
    SUCCEEDS(cuGraphExecDestroy(exec));
    CHECK(cuGraphLaunch(exec, stream) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphExecDestroy(exec) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphInstantiate(&exec, graph, CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) ==
          CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuGraphInstantiate(&exec, graph, 1024) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Executable, "launches of one graph do not overlap, whatever their streams") {
    std::uint32_t* word = nullptr;
    SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&word), 4, 0));
    *word = 0;
    SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(word), 1, 0));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    SUCCEEDS(cuGraphLaunch(exec, other));
    CHECK(cuStreamQuery(other) == CUDA_ERROR_NOT_READY);
    std::atomic_ref(*word).store(1);
    SUCCEEDS(cuStreamSynchronize(other));
    SUCCEEDS(cuStreamQuery(stream));
    CHECK(host == 5);
}

TEST_CASE_METHOD(Executable, "an update takes the parameters of a graph of the same shape") {
    const CUgraph next = make(4, 6);
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    SUCCEEDS(cuGraphDestroy(next));
    CHECK(result() == 10);
    // Nodes are still named by the graph that it was made of.
    const KernelNode parameters(*this, 7, 0);
    SUCCEEDS(cuGraphExecKernelNodeSetParams(exec, launched, &parameters.node));
    CHECK(result() == 7);
}

TEST_CASE_METHOD(Executable, "an update that does not fit changes nothing") {
    CUgraph next = make(9, 9);
    CUgraphNode extra = nullptr;
    SUCCEEDS(cuGraphAddEmptyNode(&extra, next, nullptr, 0));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    CHECK(info.errorNode == nullptr);

    next = make(9, 9);
    auto nodes = nodes_of(next);
    SUCCEEDS(cuGraphAddDependencies(next, &nodes[0], &nodes[2], nullptr, 1));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    CHECK(info.errorNode == nodes[2]);

    next = make(9, 9);
    nodes = nodes_of(next);
    SUCCEEDS(cuGraphRemoveDependencies(next, &nodes[0], &nodes[1], nullptr, 1));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    CHECK((info.errorNode == nodes[0] || info.errorNode == nodes[2]));  // one of the exits

    next = make(9, 9);
    nodes = nodes_of(next);
    SUCCEEDS(cuGraphDestroyNode(nodes[0]));
    SUCCEEDS(cuGraphAddEmptyNode(&extra, next, nullptr, 0));
    SUCCEEDS(cuGraphAddDependencies(next, &extra, &nodes[1], nullptr, 1));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
    CHECK(info.errorNode == extra);

    next = make(9, 9);
    nodes = nodes_of(next);
    const CUDA_MEMSET_NODE_PARAMS plane{values, 16, 1, 4, 2, 2};
    SUCCEEDS(cuGraphMemsetNodeSetParams(nodes[0], &plane));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);
    CHECK(info.errorNode == nodes[0]);

    next = make(9, 9);
    nodes = nodes_of(next);
    CUDA_MEMCPY3D on_device = to_host(nullptr, values, 4);
    on_device.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    on_device.dstDevice = values + 4;
    SUCCEEDS(cuGraphMemcpyNodeSetParams(nodes[2], &on_device));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);

    CUcontext second = nullptr;
    SUCCEEDS(cuCtxCreate(&second, nullptr, 0, 0));
    CUmodule theirs = nullptr;
    KernelNode foreign(*this, 9, 9);
    SUCCEEDS(cuModuleLoadData(&theirs, kGraphPtx));
    SUCCEEDS(cuModuleGetFunction(&foreign.node.func, theirs, "scale_add"));
    next = make(9, 9);
    nodes = nodes_of(next);
    SUCCEEDS(cuGraphKernelNodeSetParams(nodes[1], &foreign.node));
    CHECK(update(next) == CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE);
    CHECK(info.errorNode == nodes[1]);
    SUCCEEDS(cuCtxDestroy(second));
    SUCCEEDS(cuCtxSetCurrent(context));

    CHECK(result() == 5);
    CHECK(cuGraphExecUpdate(exec, nullptr, &info) == CUDA_ERROR_INVALID_VALUE);
    CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR);
}

TEST_CASE_METHOD(Executable, "single nodes can be changed") {
    const CUDA_MEMSET_NODE_PARAMS filled{values, 0, 4, 4, kCount, 1};
    SUCCEEDS(cuGraphExecMemsetNodeSetParams(exec, fill, &filled, context));
    CHECK(result() == 11);
    const CUDA_MEMSET_NODE_PARAMS plane{values, 16, 1, 4, 2, 2};
    CHECK(cuGraphExecMemsetNodeSetParams(exec, fill, &plane, context) == CUDA_ERROR_INVALID_VALUE);
    unsigned elsewhere = 0;
    CUDA_MEMCPY3D copy = to_host(&elsewhere, values, 4);
    SUCCEEDS(cuGraphExecMemcpyNodeSetParams(exec, copied, &copy, context));
    result();
    CHECK(elsewhere == 11);
    copy.Height = 2;
    copy.srcPitch = copy.dstPitch = 4;
    CHECK(cuGraphExecMemcpyNodeSetParams(exec, copied, &copy, context) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphExecMemcpyNodeSetParams(exec, fill, &copy, context) == CUDA_ERROR_INVALID_VALUE);
    CUgraphNodeParams generic{};
    generic.type = CU_GRAPH_NODE_TYPE_MEMSET;
    generic.memset = {values, 0, 5, 4, kCount, 1, context};
    SUCCEEDS(cuGraphExecNodeSetParams(exec, fill, &generic));
    result();
    CHECK(elsewhere == 13);
    // The graph itself is as it was.
    CUDA_MEMSET_NODE_PARAMS original{};
    SUCCEEDS(cuGraphMemsetNodeGetParams(fill, &original));
    CHECK(original.value == 1);
    SUCCEEDS(cuGraphDestroyNode(fill));
    CHECK(cuGraphExecMemsetNodeSetParams(exec, fill, &filled, context) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Executable, "nodes can be disabled") {
    unsigned enabled = 9;
    SUCCEEDS(cuGraphNodeGetEnabled(exec, launched, &enabled));
    CHECK(enabled == 1);
    SUCCEEDS(cuGraphNodeSetEnabled(exec, launched, 0));
    SUCCEEDS(cuGraphNodeGetEnabled(exec, launched, &enabled));
    CHECK(enabled == 0);
    CHECK(result() == 1);
    SUCCEEDS(cuGraphNodeSetEnabled(exec, launched, 1));
    CHECK(result() == 5);
    CUgraph more = nullptr;
    CUgraphNode empty = nullptr;
    CUgraphExec other_exec = nullptr;
    SUCCEEDS(cuGraphCreate(&more, 0));
    SUCCEEDS(cuGraphAddEmptyNode(&empty, more, nullptr, 0));
    SUCCEEDS(cuGraphInstantiate(&other_exec, more, 0));
    CHECK(cuGraphNodeSetEnabled(other_exec, empty, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphNodeSetEnabled(other_exec, launched, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphLaunch(other_exec, stream));  // of nothing
}

TEST_CASE_METHOD(Executable, "child graphs are updated node by node") {
    const auto nest = [&](CUgraph inner) {
        CUgraph outer = nullptr;
        CUgraphNode node = nullptr;
        SUCCEEDS(cuGraphCreate(&outer, 0));
        SUCCEEDS(cuGraphAddChildGraphNode(&node, outer, nullptr, 0, inner));
        return std::pair(outer, node);
    };
    const auto [outer, node] = nest(graph);
    SUCCEEDS(cuGraphInstantiate(&exec, outer, 0));
    CHECK(result() == 5);
    CHECK(update(nest(make(3, 0)).first) == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    CHECK(result() == 3);
    SUCCEEDS(cuGraphExecChildGraphNodeSetParams(exec, node, make(1, 6)));
    CHECK(result() == 7);
    CUgraph empty = nullptr;
    SUCCEEDS(cuGraphCreate(&empty, 0));
    CHECK(cuGraphExecChildGraphNodeSetParams(exec, node, empty) == CUDA_ERROR_INVALID_VALUE);
    CHECK(update(nest(empty).first) == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
}

TEST_CASE_METHOD(Executable, "an event in the middle of a graph can be waited for") {
    CUevent middle = nullptr;
    SUCCEEDS(cuEventCreate(&middle, CU_EVENT_DISABLE_TIMING));
    CUgraph held = nullptr;
    CUgraphNode record = nullptr, wait = nullptr;
    std::uint32_t* word = nullptr;
    SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&word), 4, 0));
    *word = 0;
    CUstreamBatchMemOpParams operation{};
    operation.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    operation.waitValue.address = reinterpret_cast<CUdeviceptr>(word);
    operation.waitValue.value = 1;
    const CUDA_BATCH_MEM_OP_NODE_PARAMS batch{context, 1, &operation, 0};
    SUCCEEDS(cuGraphCreate(&held, 0));
    SUCCEEDS(cuGraphAddEventRecordNode(&record, held, nullptr, 0, middle));
    SUCCEEDS(cuGraphAddBatchMemOpNode(&wait, held, &record, 1, &batch));
    CUgraphExec waiting = nullptr;
    SUCCEEDS(cuGraphInstantiate(&waiting, held, 0));
    SUCCEEDS(cuGraphLaunch(waiting, stream));
    // The other stream goes on, and releases the rest of the graph.
    SUCCEEDS(cuStreamWaitEvent(other, middle, 0));
    SUCCEEDS(cuStreamWriteValue32(other, reinterpret_cast<CUdeviceptr>(word), 1, 0));
    SUCCEEDS(cuStreamSynchronize(stream));
    SUCCEEDS(cuEventQuery(middle));
}

TEST_CASE_METHOD(Executable, "a host node waits for its application and for nothing else") {
    std::promise<void> go;
    std::shared_future<void> gone = go.get_future().share();
    CUgraph hosted = nullptr;
    CUgraphNode node = nullptr;
    SUCCEEDS(cuGraphCreate(&hosted, 0));
    const CUDA_HOST_NODE_PARAMS call{
        [](void* data) { static_cast<std::shared_future<void>*>(data)->wait(); }, &gone};
    SUCCEEDS(cuGraphAddHostNode(&node, hosted, nullptr, 0, &call));
    CUgraphExec waiting = nullptr;
    SUCCEEDS(cuGraphInstantiate(&waiting, hosted, 0));
    SUCCEEDS(cuGraphLaunch(waiting, stream));
    // Other streams and all calls on graphs go on meanwhile.
    SUCCEEDS(cuGraphLaunch(exec, other));
    SUCCEEDS(cuStreamSynchronize(other));
    CHECK(host == 5);
    CHECK(cuStreamQuery(stream) == CUDA_ERROR_NOT_READY);
    go.set_value();
    SUCCEEDS(cuStreamSynchronize(stream));
}

TEST_CASE_METHOD(Executable, "a graph that touches freed memory faults") {
    SUCCEEDS(cuMemFree(values));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuGraphLaunch(exec, stream) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(host == 0);
}

TEST_CASE_METHOD(Executable, "a fault ends the graph at its node") {
    CUfunction out = nullptr;
    SUCCEEDS(cuModuleGetFunction(&out, module, "out"));
    KernelNode fault(*this, 1, 1);
    fault.node.func = out;
    fault.node.kernelParams = nullptr;
    SUCCEEDS(cuGraphExecKernelNodeSetParams(exec, launched, &fault.node));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(host == 0);
}

TEST_CASE_METHOD(Device, "a graph outlives the context of its kernels, but does not run then") {
    CUcontext second = nullptr;
    SUCCEEDS(cuCtxCreate(&second, nullptr, 0, 0));
    CUmodule theirs = nullptr;
    CUgraph graph = nullptr;
    CUgraphNode node = nullptr;
    CUgraphExec exec = nullptr;
    KernelNode foreign(*this, 10, 0);
    SUCCEEDS(cuModuleLoadData(&theirs, kGraphPtx));
    SUCCEEDS(cuModuleGetFunction(&foreign.node.func, theirs, "scale_add"));
    SUCCEEDS(cuGraphCreate(&graph, 0));
    SUCCEEDS(cuGraphAddKernelNode(&node, graph, nullptr, 0, &foreign.node));
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    SUCCEEDS(cuCtxSetCurrent(context));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    CHECK(value() == 10);
    SUCCEEDS(cuCtxDestroy(second));
    CHECK(cuGraphLaunch(exec, stream) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    SUCCEEDS(cuGraphExecDestroy(exec));
    SUCCEEDS(cuGraphDestroy(graph));
}

TEST_CASE_METHOD(Device, "memory that ends in a stream's order is good for what comes before") {
    CUdeviceptr memory = 0;
    std::uint32_t* word = nullptr;
    unsigned host = 0;
    SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&word), 4, 0));
    *word = 0;
    SUCCEEDS(cuMemAllocAsync(&memory, 16, stream));
    SUCCEEDS(cuStreamSynchronize(stream));
    SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(word), 1, 0));
    SUCCEEDS(cuMemsetD32Async(memory, 6, 4, stream));
    SUCCEEDS(cuStreamWriteValue32(stream, memory + 4, 7, 0));
    SUCCEEDS(cuMemcpyDtoDAsync(values, memory, 8, stream));
    SUCCEEDS(cuMemFreeAsync(memory, stream));
    std::atomic_ref(*word).store(1);
    SUCCEEDS(cuStreamSynchronize(stream));
    SUCCEEDS(cuMemcpyDtoH(&host, values + 4, 4));
    CHECK(host == 7);
}
