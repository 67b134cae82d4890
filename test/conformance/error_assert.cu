// SPDX-License-Identifier: Apache-2.0
// A failed assert in a kernel; its message goes to stderr.
#include <cassert>

#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    assert(memory[threadIdx.x] == 0);
    assert(memory[0] + static_cast<int>(threadIdx.x) != 40);
}

}  // namespace

int main() {
    conformance::expect_sticky(cudaErrorAssert, [](int* memory, cudaStream_t stream) {
        fault<<<2, 64, 0, stream>>>(memory);
        CUDA(cudaGetLastError());  // the launch itself was fine
    });
    return 0;
}
