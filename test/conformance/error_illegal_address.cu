// SPDX-License-Identifier: Apache-2.0
// A kernel that writes far outside of any allocation.
#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    if (threadIdx.x == 33) memory[(std::size_t{1} << 40) + blockIdx.x] = 1;
}

}  // namespace

int main() {
    conformance::expect_sticky(cudaErrorIllegalAddress, [](int* memory, cudaStream_t stream) {
        fault<<<2, 64, 0, stream>>>(memory);
        CUDA(cudaGetLastError());  // the launch itself was fine
    });
    return 0;
}
