// SPDX-License-Identifier: Apache-2.0
// A kernel that writes a word to an odd address.
#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    char* bytes = reinterpret_cast<char*>(memory);
    *reinterpret_cast<int*>(bytes + 1 + 4 * threadIdx.x) = 5;
}

}  // namespace

int main() {
    conformance::expect_sticky(cudaErrorMisalignedAddress, [](int* memory, cudaStream_t stream) {
        fault<<<2, 64, 0, stream>>>(memory);
        CUDA(cudaGetLastError());  // the launch itself was fine
    });
    return 0;
}
