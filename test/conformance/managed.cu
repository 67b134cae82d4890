// SPDX-License-Identifier: Apache-2.0
// A __managed__ variable, which makes the runtime load its module at start. Reached through copies
// everywhere, and by the host itself where the device says that it offers managed memory.
#include "conformance.h"

__managed__ int values[256] = {5, 6, 7};
__managed__ int total;

namespace {

__global__ void accumulate(int count) {
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        values[i] += i;
        atomicAdd(&total, values[i]);
    }
}

}  // namespace

int main() {
    std::vector<int> expected(256);
    expected[0] = 5;
    expected[1] = 6;
    expected[2] = 7;
    int sum = 0;
    for (int i = 0; i < 256; ++i) sum += expected[i] += i;
    accumulate<<<1, 64>>>(256);
    CUDA(cudaGetLastError());
    CUDA(cudaDeviceSynchronize());
    std::vector<int> result(256);
    int result_sum = 0;
    CUDA(cudaMemcpyFromSymbol(result.data(), values, sizeof values));
    CUDA(cudaMemcpyFromSymbol(&result_sum, total, sizeof total));
    CHECK(result == expected && result_sum == sum);

    int offered = 0;
    CUDA(cudaDeviceGetAttribute(&offered, cudaDevAttrManagedMemory, 0));
    if (offered) CHECK(total == sum && values[255] == expected[255]);
    conformance::report("values", result);
    return 0;
}
