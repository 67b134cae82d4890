// SPDX-License-Identifier: Apache-2.0
// A kernel that ends itself by a trap.
#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    memory[threadIdx.x] = 1;
    if (threadIdx.x == 5) __trap();
}

}  // namespace

int main() {
    conformance::expect_sticky(cudaErrorLaunchFailure, [](int* memory, cudaStream_t stream) {
        fault<<<2, 64, 0, stream>>>(memory);
        CUDA(cudaGetLastError());  // the launch itself was fine
    });
    return 0;
}
