// SPDX-License-Identifier: Apache-2.0
// printf in kernels: every conversion, the returned count, output at synchronisation only.
#include "conformance.h"

namespace {

__global__ void print_all(const char* text, int* returned) {
    returned[0] = printf("integers %d %i %u %x %X %o %c\n", -5, 6, 7u, 0xbeefu, 0xCAFEu, 8u, 'z');
    returned[1] =
        printf("wide %lld %llu %llx\n", -1234567890123ll, 98765432109876ull, 0xfedcba9876543210ull);
    returned[2] = printf("reals %f %e %g %.3f %10.2e\n", 1.5, -2.25, 1e-5, 3.14159, 12345.678);
    returned[3] = printf("text [%s] [%8s] [%-6d] [%+d] [%06d] %%\n", text, "right", 42, 7, -42);
    returned[4] = printf("no arguments\n");
}

__global__ void print_from(int block) {
    if (blockIdx.x == block && threadIdx.x == 37)
        printf("block %d of %d, thread %d of %d\n", blockIdx.x, gridDim.x, threadIdx.x, blockDim.x);
}

__global__ void print_in_order() {
    for (int i = 0; i < 4; ++i) printf("line %d\n", i);
}

}  // namespace

__device__ const char words[] = "from device memory";

int main() {
    conformance::DeviceArray<int> returned(5);
    void* text = nullptr;
    CUDA(cudaGetSymbolAddress(&text, words));
    print_all<<<1, 1>>>(static_cast<const char*>(text), returned.data());
    CUDA(cudaDeviceSynchronize());
    std::fflush(stdout);
    const auto counts = returned.host();
    // Unlike the host's, the device's printf returns the number of arguments.
    CHECK((counts == std::vector<int>{7, 3, 5, 5, 0}));
    for (int block = 0; block < 3; ++block) {
        print_from<<<3, 64>>>(block);
        CUDA(cudaDeviceSynchronize());
    }
    print_in_order<<<1, 1>>>();
    CUDA(cudaStreamSynchronize(nullptr));

    std::size_t size = 0;
    CUDA(cudaDeviceGetLimit(&size, cudaLimitPrintfFifoSize));
    CHECK(size >= 4096);
    std::printf("done\n");
    return 0;
}
