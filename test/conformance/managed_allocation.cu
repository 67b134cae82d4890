// SPDX-License-Identifier: Apache-2.0
// Memory that host and kernels use by one pointer: cudaMallocManaged.
#include "conformance.h"

__global__ void scale(float* values, int count, float factor) {
    const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (index < count) values[index] *= factor;
}

int main() {
    int managed = 0;
    CUDA(cudaDeviceGetAttribute(&managed, cudaDevAttrManagedMemory, 0));
    std::printf("managed memory: %d\n", managed);
    constexpr int kCount = 100000;
    float* values = nullptr;
    CUDA(cudaMallocManaged(&values, kCount * sizeof(float)));
    for (int index = 0; index < kCount; ++index) values[index] = static_cast<float>(index);
    cudaPointerAttributes attributes{};
    CUDA(cudaPointerGetAttributes(&attributes, values));
    std::printf("type %d, both pointers equal: %d\n", static_cast<int>(attributes.type),
                attributes.hostPointer == attributes.devicePointer);
    for (int round = 0; round < 3; ++round) {
        scale<<<(kCount + 255) / 256, 256>>>(values, kCount, 2.0f);
        CUDA(cudaGetLastError());
        CUDA(cudaDeviceSynchronize());
        values[round] += 1.0f;
    }
    int wrong = 0;
    for (int index = 3; index < kCount; ++index)
        wrong += values[index] != 8.0f * static_cast<float>(index);
    std::printf("wrong: %d, first three: %g %g %g\n", wrong, values[0], values[1], values[2]);
    CUDA(cudaMemset(values, 0, 64));
    CUDA(cudaDeviceSynchronize());
    std::printf("after memset: %g\n", values[5]);
    float copied[4] = {};
    CUDA(cudaMemcpy(copied, values + 16, sizeof copied, cudaMemcpyDefault));
    std::printf("copied: %g %g %g %g\n", copied[0], copied[1], copied[2], copied[3]);
    // Nothing migrates; a program that wants to know asks for concurrentManagedAccess first.
    int concurrent = 1;
    CUDA(cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, 0));
    CHECK(concurrent == 0);
    const cudaMemLocation device{cudaMemLocationTypeDevice, 0};
    CUDA_FAILS(cudaMemPrefetchAsync(values, kCount, device, 0, nullptr), cudaErrorInvalidDevice);
    CUDA_FAILS(cudaMemAdvise(values, kCount, cudaMemAdviseSetReadMostly, device),
               cudaErrorInvalidDevice);
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaStreamAttachMemAsync(stream, values, 0, cudaMemAttachSingle));
    CUDA_FAILS(cudaStreamAttachMemAsync(stream, values, 0, 8), cudaErrorInvalidValue);
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFree(values));
    return wrong != 0;
}
