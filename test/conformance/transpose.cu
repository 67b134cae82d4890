// SPDX-License-Identifier: Apache-2.0
// Matrix transposition through padded shared tiles, several rows for each thread.
#include "conformance.h"

namespace {

constexpr int kTile = 32;
constexpr int kRows = 8;

template <typename T>
__global__ void transpose(const T* input, T* output, int width, int height) {
    __shared__ T tile[kTile][kTile + 1];
    int x = blockIdx.x * kTile + threadIdx.x;
    int y = blockIdx.y * kTile + threadIdx.y;
    for (int row = 0; row < kTile; row += kRows)
        if (x < width && y + row < height)
            tile[threadIdx.y + row][threadIdx.x] = input[(y + row) * width + x];
    __syncthreads();
    x = blockIdx.y * kTile + threadIdx.x;
    y = blockIdx.x * kTile + threadIdx.y;
    for (int row = 0; row < kTile; row += kRows)
        if (x < height && y + row < width)
            output[(y + row) * height + x] = tile[threadIdx.x][threadIdx.y + row];
}

template <typename T>
void run(const char* name, conformance::Random& random, int width, int height) {
    std::vector<T> input(static_cast<std::size_t>(width) * height);
    for (T& value : input) value = static_cast<T>(random.next());
    conformance::DeviceArray<T> device_input(input), device_output(input.size());
    const dim3 grid(conformance::blocks_for(width, kTile), conformance::blocks_for(height, kTile));
    transpose<<<grid, dim3(kTile, kRows)>>>(device_input.data(), device_output.data(), width,
                                            height);
    CUDA(cudaGetLastError());
    const auto output = device_output.host();
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            CHECK_AT(y * width + x, output[x * height + y], input[y * width + x]);
    conformance::report(name, output);
}

}  // namespace

int main() {
    conformance::Random random(106);
    run<std::uint8_t>("8 bit, 96x64", random, 96, 64);
    run<std::uint16_t>("16 bit, 33x65", random, 33, 65);
    run<std::uint32_t>("32 bit, 100x70", random, 100, 70);
    run<std::uint64_t>("64 bit, 31x200", random, 31, 200);
    return 0;
}
