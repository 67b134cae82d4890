// SPDX-License-Identifier: Apache-2.0
// Parameter structures: odd sizes and alignments, nearly 4 KiB, 4 KiB, and the limit of 32764.
#include "conformance.h"

namespace {

template <unsigned kBytes>
struct Block {
    unsigned char bytes[kBytes];
};

template <unsigned kBytes>
__global__ void copy_block(const __grid_constant__ Block<kBytes> block, unsigned char* out) {
    for (unsigned i = threadIdx.x; i < kBytes; i += blockDim.x) out[i] = block.bytes[i];
}

template <unsigned kBytes>
void run(conformance::Random& random) {
    Block<kBytes> block;
    for (auto& byte : block.bytes) byte = static_cast<unsigned char>(random.next());
    conformance::DeviceArray<unsigned char> out(kBytes);
    copy_block<kBytes><<<1, 128>>>(block, out.data());
    CUDA(cudaGetLastError());
    const Block<kBytes> sent = block;
    std::memset(&block, 0, sizeof block);  // the launch has taken its own copy
    const auto result = out.host();
    for (unsigned i = 0; i < kBytes; ++i) CHECK_AT(i, result[i], sent.bytes[i]);
    conformance::report("block", result);
}

struct Mixed {
    char c;
    double d;
    short s;
    float4 v;
    char tail[3];
};

__global__ void unpack(char c, Mixed mixed, std::uint16_t s, std::uint64_t w, bool flag,
                       double* out) {
    const double values[] = {static_cast<double>(c),
                             static_cast<double>(mixed.c),
                             mixed.d,
                             static_cast<double>(mixed.s),
                             mixed.v.x + mixed.v.y + mixed.v.z + mixed.v.w,
                             static_cast<double>(mixed.tail[2]),
                             static_cast<double>(s),
                             static_cast<double>(w),
                             flag ? 1.0 : 0.0};
    for (int i = 0; i < 9; ++i) out[i] = values[i];
}

}  // namespace

int main() {
    conformance::Random random(117);
    run<1>(random);
    run<37>(random);
    run<1000>(random);
    run<4080>(random);  // with the pointer 4088: just below the limit of early drivers
    run<4088>(random);
    run<12000>(random);
    run<32752>(random);

    conformance::DeviceArray<double> out(9);
    const Mixed mixed{'m', -0.125, -300, make_float4(1, 2, 4, 8), {'x', 'y', 'z'}};
    unpack<<<1, 1>>>('c', mixed, 65000, 1ull << 52, true, out.data());
    CUDA(cudaGetLastError());
    const std::vector<double> expected{'c', 'm', -0.125, -300, 15, 'z', 65000, 0x1p52, 1};
    CHECK(out.host() == expected);
    conformance::report("mixed", out.host());
    return 0;
}
