// SPDX-License-Identifier: Apache-2.0
// Built for one other architecture alone: the device has no image of this kernel, only that fails.
#include "conformance.h"

__global__ void never(int* out) {
    *out = 1;
}

int main() {
    conformance::DeviceArray<int> out(std::vector<int>{0});
    never<<<1, 1>>>(out.data());
    CUDA_FAILS(cudaGetLastError(), cudaErrorNoKernelImageForDevice);
    cudaFuncAttributes attributes;
    CUDA_FAILS(cudaFuncGetAttributes(&attributes, never), cudaErrorNoKernelImageForDevice);
    CUDA_FAILS(cudaGetLastError(), cudaErrorNoKernelImageForDevice);
    CUDA(cudaDeviceSynchronize());
    CHECK(out.host()[0] == 0);
    std::printf("no image for this device\n");
    return 0;
}
