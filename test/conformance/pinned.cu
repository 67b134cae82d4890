// SPDX-License-Identifier: Apache-2.0
// Pinned host memory: copies from and to it, mapped access by kernels, flags, attributes.
#include "conformance.h"

namespace {

__global__ void triple(const int* input, int* output, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) output[i] = 3 * input[i];
}

constexpr int kCount = 30000;

void copies() {
    int *input = nullptr, *output = nullptr;
    CUDA(cudaMallocHost(&input, kCount * sizeof(int)));
    CUDA(cudaHostAlloc(&output, kCount * sizeof(int), cudaHostAllocPortable));
    for (int i = 0; i < kCount; ++i) {
        input[i] = 7 * i - 12345;
        output[i] = -1;
    }
    conformance::DeviceArray<int> device_input(kCount), device_output(kCount);
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaMemcpyAsync(device_input.data(), input, device_input.bytes(), cudaMemcpyHostToDevice,
                         stream));
    triple<<<conformance::blocks_for(kCount, 256), 256, 0, stream>>>(device_input.data(),
                                                                     device_output.data(), kCount);
    CUDA(cudaMemcpyAsync(output, device_output.data(), device_output.bytes(),
                         cudaMemcpyDeviceToHost, stream));
    CUDA(cudaStreamSynchronize(stream));
    for (int i = 0; i < kCount; ++i) CHECK_AT(i, output[i], 3 * input[i]);
    conformance::report("copied", output, kCount);
    unsigned flags = 0;
    CUDA(cudaHostGetFlags(&flags, output));
    CHECK(flags & cudaHostAllocPortable);
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFreeHost(input));
    CUDA(cudaFreeHost(output));
}

/// Allocations of growing size, each larger than what is left of the memory taken for the last one.
void growing() {
    std::vector<unsigned char*> blocks;
    for (const std::size_t megabytes : {1, 3, 5, 9}) {
        const std::size_t bytes = (megabytes << 20) + 12345;
        unsigned char* block = nullptr;
        CUDA(cudaMallocHost(&block, bytes));
        for (std::size_t i = 0; i < bytes; ++i) block[i] = static_cast<unsigned char>(i * 7 >> 3);
        conformance::DeviceArray<unsigned char> device(bytes);
        CUDA(cudaMemcpy(device.data(), block, bytes, cudaMemcpyHostToDevice));
        CUDA(cudaMemset(block, 0, bytes));
        CUDA(cudaMemcpy(block, device.data(), bytes, cudaMemcpyDeviceToHost));
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < bytes; ++i) {
            wrong += block[i] != static_cast<unsigned char>(i * 7 >> 3);
        }
        std::printf("%zu MiB: %zu wrong\n", megabytes, wrong);
        CHECK(wrong == 0);
        blocks.push_back(block);
    }
    for (unsigned char* block : blocks) CUDA(cudaFreeHost(block));
}

void mapped() {
    int can_map = 0;
    CUDA(cudaDeviceGetAttribute(&can_map, cudaDevAttrCanMapHostMemory, 0));
    if (!can_map) {
        std::printf("mapped memory is not offered\n");
        return;
    }
    int *host = nullptr, *device = nullptr;
    CUDA(cudaHostAlloc(&host, 2 * kCount * sizeof(int), cudaHostAllocMapped));
    CUDA(cudaHostGetDevicePointer(&device, host, 0));
    for (int round = 1; round <= 3; ++round) {
        for (int i = 0; i < kCount; ++i) host[i] = round * i;
        triple<<<conformance::blocks_for(kCount, 256), 256>>>(device, device + kCount, kCount);
        CUDA(cudaDeviceSynchronize());
        for (int i = 0; i < kCount; ++i) CHECK_AT(i, host[kCount + i], 3 * round * i);
    }
    conformance::report("mapped", host + kCount, kCount);
    CUDA(cudaFreeHost(host));
}

void attributes() {
    int* pinned = nullptr;
    int plain = 0;
    conformance::DeviceArray<int> device(4);
    CUDA(cudaMallocHost(&pinned, 64));
    cudaPointerAttributes found;
    CUDA(cudaPointerGetAttributes(&found, pinned));
    CHECK(found.type == cudaMemoryTypeHost && found.hostPointer == pinned);
    CUDA(cudaPointerGetAttributes(&found, pinned + 3));
    CHECK(found.type == cudaMemoryTypeHost && found.hostPointer == pinned + 3);
    CUDA(cudaPointerGetAttributes(&found, device.data()));
    CHECK(found.type == cudaMemoryTypeDevice && found.devicePointer == device.data() &&
          found.device == 0);
    CUDA(cudaPointerGetAttributes(&found, &plain));
    CHECK(found.type == cudaMemoryTypeUnregistered);
    CUDA(cudaFreeHost(pinned));
    CUDA(cudaPointerGetAttributes(&found, pinned));
    CHECK(found.type == cudaMemoryTypeUnregistered);
    CUDA_FAILS(cudaFreeHost(&plain), cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    std::printf("attributes\n");
}

void registered() {
    std::vector<int> memory(3 * 4096, 5);
    CUDA(cudaHostRegister(memory.data(), memory.size() * sizeof(int), cudaHostRegisterDefault));
    conformance::DeviceArray<int> device(memory.size());
    CUDA(cudaMemcpyAsync(device.data(), memory.data(), device.bytes(), cudaMemcpyHostToDevice));
    CUDA(cudaDeviceSynchronize());
    CHECK(device.host() == memory);
    CUDA_FAILS(cudaHostRegister(memory.data(), 4096, 0), cudaErrorHostMemoryAlreadyRegistered);
    CUDA(cudaHostUnregister(memory.data()));
    CUDA_FAILS(cudaHostUnregister(memory.data()), cudaErrorHostMemoryNotRegistered);
    (void)cudaGetLastError();
    std::printf("registered\n");
}

}  // namespace

int main() {
    copies();
    growing();
    mapped();
    attributes();
    registered();
    return 0;
}
