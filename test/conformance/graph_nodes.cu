// SPDX-License-Identifier: Apache-2.0
// A graph built node by node through the runtime: kernels, copies, fills, host functions, a child.
#include "conformance.h"

namespace {

constexpr std::size_t kCount = 5000;
constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = conformance::blocks_for(kCount, kThreads);

__global__ void multiply_add(int* values, int factor, int amount) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) values[i] = values[i] * factor + amount;
}

/// The parameters of a multiply_add node, which point into this object.
struct Launch {
    Launch(int* where, int by, int plus) : values(where), factor(by), amount(plus) {}
    Launch(const Launch&) = delete;
    Launch& operator=(const Launch&) = delete;

    int* values;
    int factor;
    int amount;
    void* pointers[3] = {&values, &factor, &amount};
    cudaKernelNodeParams node{
        reinterpret_cast<void*>(multiply_add), dim3(kBlocks), dim3(kThreads), 0, pointers, nullptr};
};

void check(const std::vector<int>& values, int expected) {
    for (std::size_t i = 0; i < values.size(); ++i) CHECK_AT(i, values[i], expected);
}

}  // namespace

int main() {
    conformance::DeviceArray<int> values(kCount);
    std::vector<int> host(kCount);
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

    cudaGraph_t graph, child;
    CUDA(cudaGraphCreate(&graph, 0));
    CUDA(cudaGraphCreate(&child, 0));
    cudaGraphNode_t fill, first, inner, nested, copy, call;
    cudaMemsetParams filled{};
    filled.dst = values.data();
    filled.value = 1;
    filled.elementSize = sizeof(int);
    filled.width = kCount;
    filled.height = 1;
    CUDA(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &filled));
    const Launch plus_two(values.data(), 1, 2);
    CUDA(cudaGraphAddKernelNode(&first, graph, &fill, 1, &plus_two.node));
    const Launch ten_times(values.data(), 10, 0);
    CUDA(cudaGraphAddKernelNode(&inner, child, nullptr, 0, &ten_times.node));
    CUDA(cudaGraphAddChildGraphNode(&nested, graph, &first, 1, child));
    CUDA(cudaGraphAddMemcpyNode1D(&copy, graph, &nested, 1, host.data(), values.data(),
                                  values.bytes(), cudaMemcpyDeviceToHost));
    int seen = 0;
    struct Call {
        int* seen;
        const int* from;
    } arguments{&seen, host.data()};
    const cudaHostNodeParams hosted{[](void* data) {
                                        const Call* call = static_cast<Call*>(data);
                                        *call->seen = *call->from;
                                    },
                                    &arguments};
    CUDA(cudaGraphAddHostNode(&call, graph, &copy, 1, &hosted));

    cudaKernelNodeParams shown{};
    CUDA(cudaGraphKernelNodeGetParams(first, &shown));
    CHECK(shown.func == plus_two.node.func);
    CHECK(shown.gridDim.x == kBlocks && shown.blockDim.x == kThreads);
    CHECK(*static_cast<int*>(shown.kernelParams[2]) == 2);

    cudaGraphExec_t exec;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(host, 30);
    CHECK(seen == 30);
    std::printf("launched: %d\n", seen);

    const Launch plus_five(values.data(), 1, 5);
    CUDA(cudaGraphExecKernelNodeSetParams(exec, first, &plus_five.node));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(host, 60);
    CUDA(cudaGraphNodeSetEnabled(exec, first, 0));
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(host, 10);
    std::printf("changed: %d\n", seen);

    // A cycle cannot be run.
    cudaGraph_t clone;
    cudaGraphNode_t clone_first, clone_copy;
    cudaGraphExec_t impossible;
    CUDA(cudaGraphClone(&clone, graph));
    CUDA(cudaGraphNodeFindInClone(&clone_first, first, clone));
    CUDA(cudaGraphNodeFindInClone(&clone_copy, copy, clone));
    CUDA(cudaGraphAddDependencies(clone, &clone_copy, &clone_first, nullptr, 1));
    CUDA_FAILS(cudaGraphInstantiate(&impossible, clone, 0), cudaErrorInvalidValue);
    (void)cudaGetLastError();
    CUDA(cudaGraphDestroy(clone));
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(child));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    conformance::report("values", values.host());
    return 0;
}
