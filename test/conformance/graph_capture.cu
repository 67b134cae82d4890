// SPDX-License-Identifier: Apache-2.0
// Stream capture through the runtime as inference engines use it: capture, instantiate, update,
// launch; and across streams.
#include "conformance.h"

namespace {

constexpr std::size_t kCount = 10000;
constexpr unsigned kThreads = 256;
constexpr unsigned kBlocks = conformance::blocks_for(kCount, kThreads);

__global__ void multiply_add(int* values, int factor, int amount) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) values[i] = values[i] * factor + amount;
}

__global__ void sum(const int* left, const int* right, int* out) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) out[i] = left[i] + right[i];
}

void check(const std::vector<int>& values, int expected) {
    for (std::size_t i = 0; i < values.size(); ++i) CHECK_AT(i, values[i], expected);
}

// As llama.cpp: captured anew for each token, one executable graph, updated where that is possible.
void tokens(cudaStream_t stream, int* values, std::vector<int>& host) {
    cudaGraphExec_t exec = nullptr;
    for (int token = 0; token < 6; ++token) {
        cudaGraph_t graph;
        CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
        CUDA(cudaMemsetAsync(values, 0, kCount * sizeof(int), stream));
        multiply_add<<<kBlocks, kThreads, 0, stream>>>(values, 1, token);
        multiply_add<<<kBlocks, kThreads, 0, stream>>>(values, 10, 1);
        if (token == 4) multiply_add<<<kBlocks, kThreads, 0, stream>>>(values, 1, 1);
        CUDA(cudaMemcpyAsync(host.data(), values, kCount * sizeof(int), cudaMemcpyDeviceToHost,
                             stream));
        CUDA(cudaStreamEndCapture(stream, &graph));
        bool instantiate = exec == nullptr;
        if (!instantiate) {
            cudaGraphExecUpdateResultInfo info;
            const cudaError_t updated = cudaGraphExecUpdate(exec, graph, &info);
            if (updated == cudaErrorGraphExecUpdateFailure) {
                CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
                (void)cudaGetLastError();
                CUDA(cudaGraphExecDestroy(exec));
                instantiate = true;
            } else {
                CUDA(updated);
            }
            std::printf("token %d: %s\n", token, instantiate ? "instantiated" : "updated");
        }
        if (instantiate) CUDA(cudaGraphInstantiate(&exec, graph, 0));
        CUDA(cudaGraphDestroy(graph));
        CUDA(cudaGraphLaunch(exec, stream));
        CUDA(cudaStreamSynchronize(stream));
        check(host, token * 10 + 1 + (token == 4 ? 1 : 0));
    }
    CUDA(cudaGraphExecDestroy(exec));
}

// Two branches that fork and join by events; then the graph's own account of itself.
void branches(cudaStream_t stream, int* left, int* right, int* out, std::vector<int>& host) {
    cudaStream_t second;
    cudaEvent_t fork, join;
    CUDA(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CUDA(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
    CUDA(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    CUDA(cudaEventRecord(fork, stream));
    CUDA(cudaStreamWaitEvent(second, fork, 0));
    CUDA(cudaMemsetAsync(left, 0, kCount * sizeof(int), stream));
    multiply_add<<<kBlocks, kThreads, 0, stream>>>(left, 1, 3);
    CUDA(cudaMemsetAsync(right, 0, kCount * sizeof(int), second));
    multiply_add<<<kBlocks, kThreads, 0, second>>>(right, 1, 40);
    CUDA(cudaEventRecord(join, second));
    CUDA(cudaStreamWaitEvent(stream, join, 0));
    sum<<<kBlocks, kThreads, 0, stream>>>(left, right, out);
    cudaStreamCaptureStatus status;
    CUDA(cudaStreamIsCapturing(second, &status));
    CHECK(status == cudaStreamCaptureStatusActive);
    CUDA(cudaStreamEndCapture(stream, &graph));
    std::size_t nodes = 0, roots = 0;
    CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
    CUDA(cudaGraphGetRootNodes(graph, nullptr, &roots));
    std::printf("branches: %zu nodes, %zu roots\n", nodes, roots);
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    for (int round = 0; round < 3; ++round) CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaMemcpyAsync(host.data(), out, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
    CUDA(cudaStreamSynchronize(stream));
    check(host, 43);
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaEventDestroy(fork));
    CUDA(cudaEventDestroy(join));
    CUDA(cudaStreamDestroy(second));
}

void broken_rules(cudaStream_t stream, int* values) {
    cudaGraph_t graph;
    int* memory;
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    CUDA_FAILS(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    (void)cudaGetLastError();
    multiply_add<<<kBlocks, kThreads, 0, stream>>>(values, 1, 1);
    CUDA_FAILS(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
    CUDA_FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    (void)cudaGetLastError();
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CUDA_FAILS(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
    (void)cudaGetLastError();
    CUDA_FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    (void)cudaGetLastError();
    CUDA_FAILS(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    (void)cudaGetLastError();
    std::printf("rules\n");
}

}  // namespace

int main() {
    conformance::DeviceArray<int> left(kCount), right(kCount), out(kCount);
    std::vector<int> host(kCount);
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    tokens(stream, left.data(), host);
    branches(stream, left.data(), right.data(), out.data(), host);
    broken_rules(stream, left.data());
    CUDA(cudaStreamDestroy(stream));
    conformance::report("out", out.host());
    return 0;
}
