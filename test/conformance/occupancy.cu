// SPDX-License-Identifier: Apache-2.0
// Device properties that launches depend on, kernel attributes, occupancy, and configuration.
#include "conformance.h"

namespace {

__global__ void light(int* out) {
    out[threadIdx.x] = threadIdx.x;
}

__global__ void __launch_bounds__(128) shared_heavy(int* out) {
    __shared__ int values[6000];
    values[threadIdx.x] = out[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = values[127 - threadIdx.x];
}

__constant__ int constants[100];

__global__ void with_constants(int* out) {
    int local[32];
    for (int i = 0; i < 32; ++i) local[i] = constants[(threadIdx.x + i) % 100];
    out[threadIdx.x] = local[out[threadIdx.x] & 31];
}

}  // namespace

int main() {
    int devices = 0;
    CUDA(cudaGetDeviceCount(&devices));
    CHECK(devices >= 1);
    cudaDeviceProp properties;
    CUDA(cudaGetDeviceProperties(&properties, 0));
    CHECK(properties.major >= 7 && properties.warpSize == 32);
    CHECK(properties.maxThreadsPerBlock == 1024 && properties.multiProcessorCount > 0);
    CHECK(properties.maxGridSize[0] == 2147483647 && properties.maxGridSize[1] == 65535);
    CHECK(properties.unifiedAddressing && properties.sharedMemPerBlock >= 48 * 1024);
    std::printf("%s, compute capability %d.%d\n", properties.name, properties.major,
                properties.minor);
    int value = 0;
    CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0));
    CHECK(value == properties.multiProcessorCount);
    CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlock, 0));
    CHECK(static_cast<std::size_t>(value) == properties.sharedMemPerBlock);
    char bus_id[32] = {};
    int by_bus_id = -1;
    CUDA(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, 0));
    CUDA(cudaDeviceGetByPCIBusId(&by_bus_id, bus_id));
    CHECK(by_bus_id == 0);
    int driver = 0, runtime = 0;
    CUDA(cudaDriverGetVersion(&driver));
    CUDA(cudaRuntimeGetVersion(&runtime));
    CHECK(driver >= runtime && runtime >= 13000);

    cudaFuncAttributes attributes;
    CUDA(cudaFuncGetAttributes(&attributes, light));
    CHECK(attributes.maxThreadsPerBlock == 1024 && attributes.sharedSizeBytes == 0);
    CHECK(attributes.ptxVersion >= 75);
    CUDA(cudaFuncGetAttributes(&attributes, shared_heavy));
    CHECK(attributes.maxThreadsPerBlock == 128 && attributes.sharedSizeBytes >= 24000);
    CUDA(cudaFuncGetAttributes(&attributes, with_constants));
    CHECK(attributes.constSizeBytes >= 400);

    int blocks = 0, smaller = 0, grid = 0, block = 0;
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, light, 1024, 0));
    CHECK(blocks >= 1 && blocks * 1024 <= properties.maxThreadsPerMultiProcessor);
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, shared_heavy, 128, 0));
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&smaller, shared_heavy, 128, 16 * 1024));
    CHECK(blocks >= 1 && smaller >= 1 && smaller <= blocks);
    CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, light, 0, 0));
    CHECK(block >= 32 && block <= 1024 && grid >= 1);
    std::size_t available = 0;
    CUDA(cudaOccupancyAvailableDynamicSMemPerBlock(&available, light, 1, 128));
    CHECK(available >= 32 * 1024);

    CUDA(cudaFuncSetCacheConfig(light, cudaFuncCachePreferL1));
    CUDA(cudaDeviceSetCacheConfig(cudaFuncCachePreferShared));
    CUDA(cudaFuncSetAttribute(light, cudaFuncAttributePreferredSharedMemoryCarveout, 50));
    std::size_t heap = 0;
    CUDA(cudaDeviceSetLimit(cudaLimitMallocHeapSize, 16 << 20));
    CUDA(cudaDeviceGetLimit(&heap, cudaLimitMallocHeapSize));
    CHECK(heap >= 16 << 20);
    conformance::DeviceArray<int> out(128);
    light<<<1, 128>>>(out.data());
    shared_heavy<<<1, 128>>>(out.data());
    CUDA(cudaGetLastError());
    conformance::report("reversed", out.host());
    return 0;
}
