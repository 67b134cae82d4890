// SPDX-License-Identifier: Apache-2.0
// A five-point stencil on pitched memory: 2D copies in, between and out, plain and asynchronous.
#include <algorithm>
#include <utility>

#include "conformance.h"

namespace {

constexpr int kWidth = 77;
constexpr int kHeight = 41;
constexpr int kSteps = 5;

__global__ void step(const char* from, char* to, std::size_t pitch, int width, int height) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const auto at = [=](int column, int row) {
        column = min(max(column, 0), width - 1);
        row = min(max(row, 0), height - 1);
        return reinterpret_cast<const int*>(from + row * pitch)[column];
    };
    reinterpret_cast<int*>(to + y * pitch)[x] =
        4 * at(x, y) - at(x - 1, y) - at(x + 1, y) - at(x, y - 1) + at(x, y + 1);
}

std::vector<int> step_on_host(const std::vector<int>& from) {
    std::vector<int> to(from.size());
    const auto at = [&from](int x, int y) {
        return from[std::clamp(y, 0, kHeight - 1) * kWidth + std::clamp(x, 0, kWidth - 1)];
    };
    for (int y = 0; y < kHeight; ++y)
        for (int x = 0; x < kWidth; ++x)
            to[y * kWidth + x] =
                4 * at(x, y) - at(x - 1, y) - at(x + 1, y) - at(x, y - 1) + at(x, y + 1);
    return to;
}

}  // namespace

int main() {
    conformance::Random random(107);
    std::vector<int> cells(kWidth * kHeight);
    for (int& cell : cells) cell = static_cast<int>(random.below(201)) - 100;
    const std::size_t row_bytes = kWidth * sizeof(int);

    void *from = nullptr, *to = nullptr;
    std::size_t pitch = 0, other_pitch = 0;
    CUDA(cudaMallocPitch(&from, &pitch, row_bytes, kHeight));
    CUDA(cudaMallocPitch(&to, &other_pitch, row_bytes, kHeight));
    CHECK(pitch >= row_bytes && pitch == other_pitch);

    CUDA(cudaMemcpy2D(from, pitch, cells.data(), row_bytes, row_bytes, kHeight,
                      cudaMemcpyHostToDevice));
    const dim3 threads(32, 4);
    const dim3 grid(conformance::blocks_for(kWidth, 32), conformance::blocks_for(kHeight, 4));
    for (int i = 0; i < kSteps; ++i) {
        step<<<grid, threads>>>(static_cast<char*>(from), static_cast<char*>(to), pitch, kWidth,
                                kHeight);
        std::swap(from, to);
        cells = step_on_host(cells);
    }
    CUDA(cudaGetLastError());
    std::vector<int> result(cells.size());
    CUDA(cudaMemcpy2D(result.data(), row_bytes, from, pitch, row_bytes, kHeight,
                      cudaMemcpyDeviceToHost));
    CHECK(result == cells);
    conformance::report("cells", result);

    // A window of the result goes to another place on the device, then into a wider host array.
    const int x = 5, y = 3, width = 20, height = 11;
    const char* window = static_cast<const char*>(from) + y * pitch + x * sizeof(int);
    CUDA(cudaMemset2D(to, pitch, 0xee, row_bytes, kHeight));
    CUDA(cudaMemcpy2DAsync(to, pitch, window, pitch, width * sizeof(int), height,
                           cudaMemcpyDeviceToDevice, nullptr));
    std::vector<int> wide(64 * height, -1);
    CUDA(cudaMemcpy2DAsync(wide.data(), 64 * sizeof(int), to, pitch, width * sizeof(int), height,
                           cudaMemcpyDeviceToHost, nullptr));
    CUDA(cudaStreamSynchronize(nullptr));
    for (int row = 0; row < height; ++row)
        for (int column = 0; column < 64; ++column)
            CHECK_AT(row * 64 + column, wide[row * 64 + column],
                     column < width ? cells[(y + row) * kWidth + x + column] : -1);
    conformance::report("window", wide);

    // What lies outside the window kept its fill.
    CUDA(cudaMemcpy2D(result.data(), row_bytes, to, pitch, row_bytes, kHeight,
                      cudaMemcpyDeviceToHost));
    for (int row = 0; row < kHeight; ++row)
        for (int column = 0; column < kWidth; ++column)
            if (row >= height || column >= width)
                CHECK_AT(row * kWidth + column,
                         static_cast<unsigned>(result[row * kWidth + column]), 0xeeeeeeeeu);
    CUDA_FAILS(cudaMemcpy2D(to, row_bytes / 2, cells.data(), row_bytes, row_bytes, kHeight,
                            cudaMemcpyHostToDevice),
               cudaErrorInvalidPitchValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidPitchValue);
    CUDA(cudaFree(from));
    CUDA(cudaFree(to));
    return 0;
}
