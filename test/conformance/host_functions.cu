// SPDX-License-Identifier: Apache-2.0
// Functions that streams and graphs call: their order among copies and kernels, what they see, and
// callbacks with a status.
#include <atomic>
#include <mutex>
#include <vector>

#include "conformance.h"

namespace {

__global__ void add(int* value, int what) {
    *value += what;
}

std::mutex log_mutex;
std::vector<int> order;

void CUDART_CB note(void* number) {
    const std::lock_guard lock(log_mutex);
    order.push_back(static_cast<int>(reinterpret_cast<std::intptr_t>(number)));
}

void* number(int value) {
    return reinterpret_cast<void*>(static_cast<std::intptr_t>(value));
}

void in_one_stream() {
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    for (int i = 0; i < 100; ++i) CUDA(cudaLaunchHostFunc(stream, note, number(i)));
    CUDA(cudaStreamSynchronize(stream));
    CHECK(order.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
    order.clear();
    CUDA(cudaStreamDestroy(stream));
}

struct Step {
    int* seen;
    const int* host;
};

void CUDART_CB look(void* data) {
    const auto* step = static_cast<Step*>(data);
    *step->seen = *step->host;
}

/// A function runs after the work before it and before the work behind it.
void between_copies() {
    int* device;
    int* host;
    CUDA(cudaMalloc(&device, sizeof(int)));
    CUDA(cudaMallocHost(&host, sizeof(int)));
    CUDA(cudaMemset(device, 0, sizeof(int)));
    int seen[20] = {};
    std::vector<Step> steps;
    for (int& each : seen) steps.push_back({&each, host});
    for (std::size_t i = 0; i < steps.size(); ++i) {
        add<<<1, 1>>>(device, 1);
        CUDA(cudaMemcpyAsync(host, device, sizeof(int), cudaMemcpyDeviceToHost));
        CUDA(cudaLaunchHostFunc(nullptr, look, &steps[i]));
    }
    CUDA(cudaDeviceSynchronize());
    for (int i = 0; i < 20; ++i) CHECK(seen[i] == i + 1);
    CUDA(cudaFreeHost(host));
    CUDA(cudaFree(device));
}

struct Told {
    cudaStream_t stream;
    cudaError_t status;
    std::atomic<int> times;
};

void CUDART_CB tell(cudaStream_t stream, cudaError_t status, void* data) {
    auto* told = static_cast<Told*>(data);
    told->stream = stream;
    told->status = status;
    ++told->times;
}

void callbacks() {
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    Told told{nullptr, cudaErrorUnknown, {0}};
    CUDA(cudaStreamAddCallback(stream, tell, &told, 0));
    CUDA(cudaStreamSynchronize(stream));
    CHECK(told.times == 1);
    CHECK(told.stream == stream);
    CHECK(told.status == cudaSuccess);
    CUDA_FAILS(cudaStreamAddCallback(stream, tell, &told, 1), cudaErrorInvalidValue);
    CUDA(cudaStreamDestroy(stream));
}

/// A graph calls its functions at each launch, and they see what its copies have brought to
/// pageable memory.
void in_a_graph() {
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    int* device;
    CUDA(cudaMalloc(&device, sizeof(int)));
    int source = 0;
    int result = 0;
    int seen = 0;
    Step step{&seen, &result};
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CUDA(cudaMemcpyAsync(device, &source, sizeof source, cudaMemcpyHostToDevice, stream));
    add<<<1, 1, 0, stream>>>(device, 100);
    CUDA(cudaMemcpyAsync(&result, device, sizeof result, cudaMemcpyDeviceToHost, stream));
    CUDA(cudaLaunchHostFunc(stream, look, &step));
    CUDA(cudaLaunchHostFunc(stream, note, number(7)));
    cudaGraph_t graph;
    CUDA(cudaStreamEndCapture(stream, &graph));
    CHECK(order.empty());
    cudaGraphExec_t exec;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    CUDA(cudaGraphDestroy(graph));
    for (int i = 0; i < 10; ++i) {
        source = i;
        CUDA(cudaGraphLaunch(exec, stream));
        CUDA(cudaStreamSynchronize(stream));
        CHECK(result == i + 100);
        CHECK(seen == i + 100);
    }
    CHECK(order.size() == 10);
    order.clear();
    // What was launched runs to its end, whoever is destroyed meanwhile.
    CUDA(cudaGraphLaunch(exec, stream));
    CUDA(cudaGraphExecDestroy(exec));
    CUDA(cudaStreamSynchronize(stream));
    CHECK(order.size() == 1);
    CUDA(cudaFree(device));
    CUDA(cudaStreamDestroy(stream));
}

}  // namespace

int main() {
    in_one_stream();
    between_copies();
    callbacks();
    in_a_graph();
    std::puts("host functions: right");
    return 0;
}
