// SPDX-License-Identifier: Apache-2.0
// Devices that are not there, and the last error's life: peeked at, taken, gone.
#include "conformance.h"

int main() {
    int devices = 0, current = -1, value = 0;
    CUDA(cudaGetDeviceCount(&devices));
    CUDA_FAILS(cudaSetDevice(devices), cudaErrorInvalidDevice);
    CUDA_FAILS(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    CUDA_FAILS(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    CUDA_FAILS(cudaGetLastError(), cudaErrorInvalidDevice);
    CUDA(cudaGetLastError());
    CUDA_FAILS(cudaSetDevice(-1), cudaErrorInvalidDevice);
    cudaDeviceProp properties;
    CUDA_FAILS(cudaGetDeviceProperties(&properties, 1000), cudaErrorInvalidDevice);
    CUDA_FAILS(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, devices),
               cudaErrorInvalidDevice);
    CUDA_FAILS(cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(100000), 0),
               cudaErrorInvalidValue);
    CUDA_FAILS(cudaDeviceGetByPCIBusId(&value, "ffff:1f:1f.7"), cudaErrorInvalidDevice);
    (void)cudaGetLastError();
    CUDA(cudaGetDevice(&current));
    CHECK(current == 0);
    CUDA(cudaSetDevice(0));
    CUDA(cudaDeviceSynchronize());
    CHECK(std::string_view(cudaGetErrorString(cudaErrorInvalidDevice)) == "invalid device ordinal");
    std::printf("refused, device %d is current\n", current);
    return 0;
}
