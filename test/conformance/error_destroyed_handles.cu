// SPDX-License-Identifier: Apache-2.0
// Streams and events that were destroyed, memory that was freed: refused, never sticky.
// Invented and unrelated handles are beyond the API's promise on NVIDIA's driver, so none is used.
#include "conformance.h"

namespace {

__global__ void set(int* value) {
    *value = 41;
}

void expect_refused(const char* what, cudaError_t got) {
    if (got != cudaErrorInvalidResourceHandle && got != cudaErrorContextIsDestroyed &&
        got != cudaErrorInvalidValue)
        conformance::fail(__FILE__, __LINE__, "%s: got %s", what, cudaGetErrorName(got));
    (void)cudaGetLastError();
    std::printf("%s: refused\n", what);
}

}  // namespace

int main() {
    conformance::DeviceArray<int> value(1);
    cudaStream_t stream;
    cudaEvent_t event, living;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaEventCreate(&event));
    CUDA(cudaEventCreate(&living));
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaEventDestroy(event));

    expect_refused("synchronise with a destroyed stream", cudaStreamSynchronize(stream));
    expect_refused("query a destroyed stream", cudaStreamQuery(stream));
    expect_refused("destroy a stream twice", cudaStreamDestroy(stream));
    expect_refused("record in a destroyed stream", cudaEventRecord(living, stream));
    expect_refused("record a destroyed event", cudaEventRecord(event, nullptr));
    expect_refused("query a destroyed event", cudaEventQuery(event));
    expect_refused("wait for a destroyed event", cudaStreamWaitEvent(nullptr, event, 0));
    expect_refused("destroy an event twice", cudaEventDestroy(event));
    set<<<1, 1, 0, stream>>>(value.data());
    expect_refused("launch in a destroyed stream", cudaGetLastError());

    void* memory = nullptr;
    CUDA(cudaMalloc(&memory, 1000));
    CUDA(cudaFree(memory));
    expect_refused("free twice", cudaFree(memory));
    int local = 0;
    expect_refused("free memory of the host", cudaFree(&local));
    CUDA(cudaFree(nullptr));
    CUDA(cudaFreeHost(nullptr));

    set<<<1, 1>>>(value.data());
    CUDA(cudaGetLastError());
    CHECK(value.host()[0] == 41);
    CUDA(cudaEventDestroy(living));
    std::printf("still working\n");
    return 0;
}
