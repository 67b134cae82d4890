// SPDX-License-Identifier: Apache-2.0
// Device memory exhausted by one large and by many smaller allocations, then whole again.
#include "conformance.h"

namespace {

__global__ void fill(unsigned char* bytes, std::size_t stride) {
    bytes[threadIdx.x * stride] = static_cast<unsigned char>(threadIdx.x);
}

}  // namespace

int main() {
    std::size_t free_before = 0, free_after = 0, total = 0;
    CUDA(cudaMemGetInfo(&free_before, &total));
    CHECK(free_before > 0 && free_before <= total);

    void* memory = nullptr;
    CUDA_FAILS(cudaMalloc(&memory, total + (std::size_t{1} << 30)), cudaErrorMemoryAllocation);
    CUDA_FAILS(cudaGetLastError(), cudaErrorMemoryAllocation);
    CUDA_FAILS(cudaMalloc(&memory, ~std::size_t{0} / 2), cudaErrorMemoryAllocation);
    CUDA_FAILS(cudaGetLastError(), cudaErrorMemoryAllocation);
    CUDA(cudaGetLastError());

    const std::size_t piece = free_before / 10;
    std::vector<void*> pieces;
    cudaError_t error = cudaSuccess;
    while (pieces.size() < 12 && (error = cudaMalloc(&memory, piece)) == cudaSuccess)
        pieces.push_back(memory);
    CHECK(error == cudaErrorMemoryAllocation && pieces.size() >= 8);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    CUDA(cudaMemGetInfo(&free_after, &total));
    CHECK(free_after < piece + piece / 2);

    // What was there before still works while memory is short.
    const std::size_t stride = piece / 64;
    fill<<<1, 64>>>(static_cast<unsigned char*>(pieces.front()), stride);
    unsigned char last = 0;
    CUDA(cudaMemcpy(&last, static_cast<unsigned char*>(pieces.front()) + 63 * stride, 1,
                    cudaMemcpyDeviceToHost));
    CHECK(last == 63);
    for (void* each : pieces) CUDA(cudaFree(each));
    CUDA(cudaMemGetInfo(&free_after, &total));
    CHECK(free_after + (std::size_t{64} << 20) >= free_before);
    CUDA(cudaMalloc(&memory, 5 * piece));
    CUDA(cudaFree(memory));
    std::printf("exhausted and whole again\n");
    return 0;
}
