// SPDX-License-Identifier: Apache-2.0
// A kernel that writes where addresses are reserved and nothing is mapped.
#include <cuda.h>

#include "fault.h"

namespace {

__global__ void fault(int* memory) {
    memory[threadIdx.x] = 1;
}

}  // namespace

int main() {
    CUdeviceptr base = 0;
    CUDA(cudaFree(nullptr));
    CHECK(cuMemAddressReserve(&base, std::size_t{64} << 20, 0, 0, 0) == CUDA_SUCCESS);
    conformance::expect_sticky(cudaErrorIllegalAddress, [base](int*, cudaStream_t stream) {
        fault<<<1, 32, 0, stream>>>(reinterpret_cast<int*>(base));
        CUDA(cudaGetLastError());
    });
    return 0;
}
