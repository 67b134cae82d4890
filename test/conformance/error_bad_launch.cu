// SPDX-License-Identifier: Apache-2.0
// Launches that are refused at once, leave nothing behind, and do not disturb the next one.
#include "conformance.h"

namespace {

__global__ void count(int* counter) {
    atomicAdd(counter, 1);
}

__global__ void __launch_bounds__(64) bounded(int* counter) {
    atomicAdd(counter, 1);
}

void expect_refused(const char* what, cudaError_t want) {
    const cudaError_t peeked = cudaPeekAtLastError();
    const cudaError_t got = cudaGetLastError();
    if (got != want || peeked != got || cudaGetLastError() != cudaSuccess)
        conformance::fail(__FILE__, __LINE__, "%s: got %s, expected %s", what,
                          cudaGetErrorName(got), cudaGetErrorName(want));
    std::printf("%s: %s\n", what, cudaGetErrorName(got));
}

}  // namespace

int main() {
    conformance::DeviceArray<int> counter(std::vector<int>{0});
    count<<<1, 1025>>>(counter.data());
    expect_refused("1025 threads", cudaErrorInvalidConfiguration);
    count<<<1, dim3(1, 1, 65)>>>(counter.data());
    expect_refused("block depth 65", cudaErrorInvalidConfiguration);
    count<<<1, dim3(32, 32, 2)>>>(counter.data());
    expect_refused("2048 threads in three dimensions", cudaErrorInvalidConfiguration);
    count<<<dim3(1, 65536), 1>>>(counter.data());
    expect_refused("grid height 65536", cudaErrorInvalidConfiguration);
    count<<<0, 32>>>(counter.data());
    expect_refused("empty grid", cudaErrorInvalidConfiguration);
    count<<<1, 0>>>(counter.data());
    expect_refused("empty block", cudaErrorInvalidConfiguration);
    count<<<1, 32, 1 << 20>>>(counter.data());
    expect_refused("1 MiB of shared memory", cudaErrorInvalidValue);

    // Which error a kernel's own bound gives differs between drivers: that it is one does not.
    bounded<<<1, 65>>>(counter.data());
    CHECK(cudaGetLastError() != cudaSuccess);
    CUDA_FAILS(cudaFuncSetAttribute(count, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20),
               cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);

    CUDA(cudaDeviceSynchronize());
    CHECK(counter.host()[0] == 0);
    count<<<2, 1024>>>(counter.data());
    bounded<<<1, 64>>>(counter.data());
    CUDA(cudaGetLastError());
    CHECK(counter.host()[0] == 2112);
    std::printf("good launches: %d\n", counter.host()[0]);
    return 0;
}
