// SPDX-License-Identifier: Apache-2.0
// Linear copies of many sizes: pageable sources are consumed and pageable destinations filled
// when an asynchronous call returns, the direction can be inferred, ranges inside the device.
#include <algorithm>

#include "conformance.h"

int main() {
    conformance::Random random(128);
    const std::size_t size = 5 * 1024 * 1024 + 17;
    std::vector<unsigned char> source(size);
    for (auto& byte : source) byte = static_cast<unsigned char>(random.next());
    conformance::DeviceArray<unsigned char> first(size), second(size);
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

    for (const std::size_t length :
         {std::size_t{1}, std::size_t{4}, std::size_t{63}, std::size_t{4096}, std::size_t{65537},
          std::size_t{1} << 20, size}) {
        std::vector<unsigned char> sent(source.begin(), source.begin() + length), received(length);
        CUDA(cudaMemcpyAsync(first.data(), sent.data(), length, cudaMemcpyHostToDevice, stream));
        std::fill(sent.begin(), sent.end(), 0);  // the source belongs to the caller again
        CUDA(cudaMemcpyAsync(second.data(), first.data(), length, cudaMemcpyDefault, stream));
        CUDA(cudaMemcpyAsync(received.data(), second.data(), length, cudaMemcpyDeviceToHost,
                             stream));
        CHECK(std::equal(received.begin(), received.end(), source.begin()));
        conformance::report("round trip", received);
    }

    CUDA(cudaMemcpy(first.data(), source.data(), size, cudaMemcpyDefault));
    CUDA(cudaMemcpy(second.data() + 5, first.data() + 1000, 3000, cudaMemcpyDeviceToDevice));
    std::vector<unsigned char> part(3000);
    CUDA(cudaMemcpy(part.data(), second.data() + 5, part.size(), cudaMemcpyDefault));
    CHECK(std::equal(part.begin(), part.end(), source.begin() + 1000));
    CUDA(cudaMemcpyPeer(second.data(), 0, first.data() + 77, 0, 3000));
    CUDA(cudaMemcpy(part.data(), second.data(), part.size(), cudaMemcpyDeviceToHost));
    CHECK(std::equal(part.begin(), part.end(), source.begin() + 77));

    std::vector<unsigned char> other(3000);
    CUDA(cudaMemcpy(other.data(), part.data(), other.size(), cudaMemcpyHostToHost));
    CHECK(other == part);
    CUDA(cudaMemcpy(first.data(), source.data(), 0, cudaMemcpyHostToDevice));
    CUDA_FAILS(cudaMemcpy(first.data(), source.data(), 16, static_cast<cudaMemcpyKind>(9)),
               cudaErrorInvalidMemcpyDirection);
    CHECK(cudaGetLastError() == cudaErrorInvalidMemcpyDirection);
    CUDA_FAILS(cudaMemcpy(first.data(), source.data(), size + (64 << 20), cudaMemcpyHostToDevice),
               cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
    CUDA(cudaStreamDestroy(stream));
    std::printf("parts\n");
    return 0;
}
