// SPDX-License-Identifier: Apache-2.0
// Graphs built by hand: nodes of each type with their parameters and edges, clones, changes of
// graphs and of executable ones, user objects.
#include <atomic>
#include <vector>

#include "driver_api.h"

namespace {

__global__ void multiply(int* values, int count, int factor) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) values[i] *= factor;
}

constexpr int kCount = 1000;

void CUDART_CB count_call(void* counter) {
    ++*static_cast<std::atomic<int>*>(counter);
}

struct Arguments {
    int* values;
    int count = kCount;
    int factor;
    void* pointers[3] = {&values, &count, &factor};
};

cudaKernelNodeParams kernel_of(Arguments& arguments) {
    cudaKernelNodeParams kernel{};
    kernel.func = reinterpret_cast<void*>(multiply);
    kernel.gridDim = dim3(8);
    kernel.blockDim = dim3(128);
    kernel.kernelParams = arguments.pointers;
    return kernel;
}

void check(const std::vector<int>& values, int factor) {
    for (std::size_t i = 0; i < values.size(); ++i)
        CHECK_AT(i, values[i], static_cast<int>(i) * factor);
}

void nodes_and_edges() {
    std::vector<int> input(kCount);
    std::vector<int> output(kCount);
    for (int i = 0; i < kCount; ++i) input[static_cast<std::size_t>(i)] = i;
    constexpr std::size_t kBytes = kCount * sizeof(int);
    int* device;
    CUDA(cudaMalloc(&device, kBytes));

    cudaGraph_t graph;
    CUDA(cudaGraphCreate(&graph, 0));
    cudaGraphNode_t in, twice, out, call, empty;
    CUDA(cudaGraphAddMemcpyNode1D(&in, graph, nullptr, 0, device, input.data(), kBytes,
                                  cudaMemcpyHostToDevice));
    Arguments arguments{device, kCount, 2};
    cudaKernelNodeParams kernel = kernel_of(arguments);
    CUDA(cudaGraphAddKernelNode(&twice, graph, &in, 1, &kernel));
    CUDA(cudaGraphAddMemcpyNode1D(&out, graph, &twice, 1, output.data(), device, kBytes,
                                  cudaMemcpyDeviceToHost));
    std::atomic<int> calls{0};
    cudaHostNodeParams host{count_call, &calls};
    CUDA(cudaGraphAddHostNode(&call, graph, &out, 1, &host));
    CUDA(cudaGraphAddEmptyNode(&empty, graph, nullptr, 0));
    CUDA(cudaGraphAddDependencies(graph, &empty, &in, nullptr, 1));

    std::size_t count = 0;
    CUDA(cudaGraphGetNodes(graph, nullptr, &count));
    CHECK(count == 5);
    CUDA(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
    CHECK(count == 4);
    cudaGraphNode_t found[2] = {};
    count = 2;
    CUDA(cudaGraphGetRootNodes(graph, found, &count));
    CHECK(count == 1);
    CHECK(found[0] == empty);
    count = 2;
    CUDA(cudaGraphNodeGetDependencies(out, found, nullptr, &count));
    CHECK(count == 1);
    CHECK(found[0] == twice);
    count = 2;
    CUDA(cudaGraphNodeGetDependentNodes(twice, found, nullptr, &count));
    CHECK(count == 1);
    CHECK(found[0] == out);
    cudaGraphNodeType type{};
    CUDA(cudaGraphNodeGetType(call, &type));
    CHECK(type == cudaGraphNodeTypeHost);

    // What nodes were given they say again.
    CUDA_KERNEL_NODE_PARAMS shown{};
    DRIVER(cuGraphKernelNodeGetParams(twice, &shown));
    CHECK(shown.gridDimX == 8);
    CHECK(shown.blockDimX == 128);
    CHECK(*static_cast<int**>(shown.kernelParams[0]) == device);
    CHECK(*static_cast<int*>(shown.kernelParams[1]) == kCount);
    CHECK(*static_cast<int*>(shown.kernelParams[2]) == 2);
    cudaHostNodeParams shown_host{};
    CUDA(cudaGraphHostNodeGetParams(call, &shown_host));
    CHECK(shown_host.fn == count_call);
    CHECK(shown_host.userData == &calls);
    cudaMemcpy3DParms shown_copy{};
    CUDA(cudaGraphMemcpyNodeGetParams(in, &shown_copy));
    CHECK(shown_copy.srcPtr.ptr == input.data());
    CHECK(shown_copy.extent.width == kBytes);

    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    cudaGraphExec_t exec;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(output, 2);
    CHECK(calls == 1);

    // Changes of the executable graph are its own.
    arguments.factor = 3;
    CUDA(cudaGraphExecKernelNodeSetParams(exec, twice, &kernel));
    std::vector<int> elsewhere(kCount);
    CUDA(cudaGraphExecMemcpyNodeSetParams1D(exec, out, elsewhere.data(), device, kBytes,
                                            cudaMemcpyDeviceToHost));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(elsewhere, 3);
    check(output, 2);
    CUDA(cudaGraphNodeSetEnabled(exec, twice, 0));
    unsigned enabled = 1;
    CUDA(cudaGraphNodeGetEnabled(exec, twice, &enabled));
    CHECK(enabled == 0);
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(elsewhere, 1);
    CHECK(calls == 3);
    CUDA(cudaGraphNodeSetEnabled(exec, twice, 1));

    // A clone is changed apart from its original, and an update brings that over.
    cudaGraph_t clone;
    cudaGraphNode_t other;
    CUDA(cudaGraphClone(&clone, graph));
    CUDA(cudaGraphNodeFindInClone(&other, twice, clone));
    arguments.factor = 5;
    CUDA(cudaGraphKernelNodeSetParams(other, &kernel));
    DRIVER(cuGraphKernelNodeGetParams(twice, &shown));
    CHECK(*static_cast<int*>(shown.kernelParams[2]) == 2);
    cudaGraphExecUpdateResultInfo result{};
    CUDA(cudaGraphExecUpdate(exec, clone, &result));
    CHECK(result.result == cudaGraphExecUpdateSuccess);
    CUDA(cudaGraphDestroy(clone));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(output, 5);

    CUDA(cudaGraphDestroyNode(call));
    CUDA_FAILS(cudaGraphExecUpdate(exec, graph, &result), cudaErrorGraphExecUpdateFailure);
    CUDA(cudaGraphRemoveDependencies(graph, &empty, &in, nullptr, 1));
    CUDA(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
    CHECK(count == 2);
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFree(device));
}

void children_and_events() {
    int* device;
    CUDA(cudaMalloc(&device, sizeof(int)));
    cudaGraph_t inner, graph;
    CUDA(cudaGraphCreate(&inner, 0));
    CUDA(cudaGraphCreate(&graph, 0));
    cudaGraphNode_t set, child, record;
    cudaMemsetParams memset{};
    memset.dst = device;
    memset.value = 7;
    memset.elementSize = 4;
    memset.width = 1;
    memset.height = 1;
    CUDA(cudaGraphAddMemsetNode(&set, inner, nullptr, 0, &memset));
    CUDA(cudaGraphAddChildGraphNode(&child, graph, nullptr, 0, inner));
    cudaEvent_t event;
    CUDA(cudaEventCreate(&event));
    CUDA(cudaGraphAddEventRecordNode(&record, graph, &child, 1, event));
    cudaEvent_t shown;
    CUDA(cudaGraphEventRecordNodeGetEvent(record, &shown));
    CHECK(shown == event);
    cudaGraph_t embedded;
    CUDA(cudaGraphChildGraphNodeGetGraph(child, &embedded));
    CHECK(embedded != inner);
    std::size_t count = 1;
    cudaGraphNode_t node;
    CUDA(cudaGraphGetNodes(embedded, &node, &count));
    CHECK(count == 1);
    cudaMemsetParams shown_memset{};
    CUDA(cudaGraphMemsetNodeGetParams(node, &shown_memset));
    CHECK(shown_memset.dst == device);
    CHECK(shown_memset.value == 7);
    cudaGraphExec_t exec;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    CUDA(cudaGraphLaunch(exec, nullptr));
    CUDA(cudaEventSynchronize(event));
    int value = 0;
    CUDA(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
    CHECK(value == 7);
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaGraphDestroy(inner));
    CUDA(cudaEventDestroy(event));
    CUDA(cudaFree(device));
}

void batches() {
    int* device;
    CUDA(cudaMalloc(&device, 2 * sizeof(int)));
    const auto address = reinterpret_cast<CUdeviceptr>(device);
    CUgraph graph;
    DRIVER(cuGraphCreate(&graph, 0));
    CUstreamBatchMemOpParams operations[2]{};
    for (unsigned i = 0; i < 2; ++i) {
        operations[i].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
        operations[i].writeValue.address = address + 4 * i;
        operations[i].writeValue.value = 30 + i;
    }
    CUDA_BATCH_MEM_OP_NODE_PARAMS batch{nullptr, 2, operations, 0};
    DRIVER(cuCtxGetCurrent(&batch.ctx));
    CUgraphNode node;
    DRIVER(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &batch));
    CUDA_BATCH_MEM_OP_NODE_PARAMS shown{};
    DRIVER(cuGraphBatchMemOpNodeGetParams(node, &shown));
    CHECK(shown.count == 2);
    CHECK(shown.paramArray[1].operation == CU_STREAM_MEM_OP_WRITE_VALUE_32);
    CHECK(shown.paramArray[1].writeValue.address == address + 4);
    CHECK(shown.paramArray[1].writeValue.value == 31);
    batch.count = 1;
    operations[0].writeValue.value = 50;
    DRIVER(cuGraphBatchMemOpNodeSetParams(node, &batch));
    DRIVER(cuGraphBatchMemOpNodeGetParams(node, &shown));
    CHECK(shown.count == 1);
    CHECK(shown.paramArray[0].writeValue.value == 50);
    CUgraphNode empty;
    DRIVER(cuGraphAddEmptyNode(&empty, graph, nullptr, 0));
    DRIVER_FAILS(cuGraphBatchMemOpNodeGetParams(empty, &shown), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphBatchMemOpNodeGetParams(node, nullptr), CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec;
    DRIVER(cuGraphInstantiate(&exec, graph, 0));
    DRIVER(cuGraphLaunch(exec, nullptr));
    int value = 0;
    CUDA(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
    CHECK(value == 50);
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(graph));
    CUDA(cudaFree(device));
}

void user_objects() {
    std::atomic<int> ended{0};
    cudaUserObject_t object;
    CUDA(cudaUserObjectCreate(&object, &ended, count_call, 1, cudaUserObjectNoDestructorSync));
    cudaGraph_t graph;
    CUDA(cudaGraphCreate(&graph, 0));
    CUDA(cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove));
    CHECK(ended == 0);
    CUDA(cudaGraphDestroy(graph));
    // A thread of the driver calls it.
    while (ended == 0) {
    }
    CHECK(ended == 1);
}

}  // namespace

int main() {
    nodes_and_edges();
    children_and_events();
    batches();
    user_objects();
    std::puts("graphs built by hand: right");
    return 0;
}
