// SPDX-License-Identifier: Apache-2.0
// Memset of ranges that start and end anywhere, in two dimensions, and ordered within streams.
#include "conformance.h"

namespace {

__global__ void add_one(unsigned char* bytes) {
    ++bytes[blockIdx.x * blockDim.x + threadIdx.x];
}

}  // namespace

int main() {
    conformance::Random random(125);
    const std::size_t size = 4096;
    conformance::DeviceArray<unsigned char> bytes(size);
    std::vector<unsigned char> expected(size, 0x5a);
    CUDA(cudaMemset(bytes.data(), 0x5a, size));
    for (int i = 0; i < 50; ++i) {
        const std::size_t start = random.below(size);
        const std::size_t length = random.below(static_cast<std::uint32_t>(size - start) + 1);
        const int value = static_cast<int>(random.below(256));
        CUDA(cudaMemsetAsync(bytes.data() + start, value, length));
        std::memset(expected.data() + start, value, length);
    }
    CHECK(bytes.host() == expected);
    conformance::report("ranges", expected);

    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaMemsetAsync(bytes.data(), 10, size, stream));
    add_one<<<16, 256, 0, stream>>>(bytes.data());
    CUDA(cudaMemsetAsync(bytes.data(), 1, size / 2, stream));
    add_one<<<16, 256, 0, stream>>>(bytes.data());
    CUDA(cudaGetLastError());
    CUDA(cudaStreamSynchronize(stream));
    auto result = bytes.host();
    for (std::size_t i = 0; i < size; ++i) CHECK_AT(i, result[i], i < size / 2 ? 2 : 12);

    CUDA(cudaMemset2DAsync(bytes.data() + 3, 100, 0xc3, 17, 30, stream));
    CUDA(cudaStreamSynchronize(stream));
    result = bytes.host();
    for (std::size_t i = 0; i < size; ++i) {
        const bool inside = i >= 3 && (i - 3) / 100 < 30 && (i - 3) % 100 < 17;
        CHECK_AT(i, result[i], inside ? 0xc3 : i < size / 2 ? 2 : 12);
    }
    conformance::report("rectangle", result);
    CUDA(cudaMemset(bytes.data(), 1, 0));
    CUDA(cudaMemset2D(bytes.data(), 64, 1, 0, 5));
    CUDA_FAILS(cudaMemset(nullptr, 0, 16), cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CUDA(cudaStreamDestroy(stream));
    return 0;
}
