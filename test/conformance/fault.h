// SPDX-License-Identifier: Apache-2.0
// What every program with a faulting kernel expects afterwards: the error is deferred and sticky.
#pragma once

#include "conformance.h"

namespace conformance {

/// Launches `fault`, expects `error` when the host synchronises, and then from every later call.
template <typename Launch>
void expect_sticky(cudaError_t error, Launch fault) {
    int* memory = nullptr;
    cudaStream_t stream;
    cudaEvent_t event;
    CUDA(cudaMalloc(&memory, 1024));
    CUDA(cudaMemset(memory, 0, 1024));
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaEventCreate(&event));
    CUDA(cudaDeviceSynchronize());

    fault(memory, stream);
    CUDA_FAILS(cudaDeviceSynchronize(), error);

    int word = 0;
    void* more = nullptr;
    CUDA_FAILS(cudaStreamSynchronize(stream), error);
    CUDA_FAILS(cudaMalloc(&more, 16), error);
    CUDA_FAILS(cudaMemcpy(&word, memory, sizeof word, cudaMemcpyDeviceToHost), error);
    CUDA_FAILS(cudaMemsetAsync(memory, 0, 16, stream), error);
    CUDA_FAILS(cudaEventRecord(event, stream), error);
    CUDA_FAILS(cudaStreamQuery(stream), error);
    CUDA_FAILS(cudaGetLastError(), error);
    CUDA(cudaGetLastError());  // the runtime forgets the error, the context does not
    CUDA_FAILS(cudaDeviceSynchronize(), error);
    std::printf("sticky: %s\n", cudaGetErrorName(error));

    // What needs no context still answers.
    int devices = 0, version = 0;
    (void)cudaGetDeviceCount(&devices);
    CUDA(cudaDriverGetVersion(&version));
    CHECK(version >= 13000);
}

}  // namespace conformance
