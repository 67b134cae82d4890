// SPDX-License-Identifier: Apache-2.0
// Vector addition in several sizes. CONTROL builds the broken variant that the runner must catch.
#include "conformance.h"

__global__ void add(const float* a, const float* b, float* sum, std::size_t count) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < count)
#ifdef CONTROL
        sum[i] = a[i] - b[i];
#else
        sum[i] = a[i] + b[i];
#endif
}

int main() {
    conformance::Random random(101);
    for (const std::size_t count : {1u, 31u, 32u, 257u, 4096u, 100003u}) {
        std::vector<float> a(count), b(count);
        for (std::size_t i = 0; i < count; ++i) {
            a[i] = static_cast<float>(random.between(-1000, 1000));
            b[i] = static_cast<float>(random.between(-1, 1));
        }
        conformance::DeviceArray<float> device_a(a), device_b(b), device_sum(count);
        add<<<conformance::blocks_for(count, 256), 256>>>(device_a.data(), device_b.data(),
                                                          device_sum.data(), count);
        CUDA(cudaGetLastError());
        const auto sum = device_sum.host();
        for (std::size_t i = 0; i < count; ++i) CHECK_AT(i, sum[i], a[i] + b[i]);
        conformance::report("sum", sum);
    }
    return 0;
}
