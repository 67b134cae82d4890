// SPDX-License-Identifier: Apache-2.0
// A kernel that reads through a null pointer that it found in memory.
#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    const int* const* pointer = reinterpret_cast<const int* const*>(memory);
    memory[threadIdx.x] = *pointer[1 + threadIdx.x % 2];
}

}  // namespace

int main() {
    conformance::expect_sticky(cudaErrorIllegalAddress, [](int* memory, cudaStream_t stream) {
        fault<<<2, 64, 0, stream>>>(memory);
        CUDA(cudaGetLastError());  // the launch itself was fine
    });
    return 0;
}
