// SPDX-License-Identifier: Apache-2.0
// Tiled matrix multiplication through shared memory, with edges that fill no tile.
#include "conformance.h"

namespace {

constexpr int kTile = 16;

template <typename T>
__global__ void multiply(const T* a, const T* b, T* product, int rows, int inner, int columns) {
    __shared__ T tile_a[kTile][kTile];
    __shared__ T tile_b[kTile][kTile];
    const int row = blockIdx.y * kTile + threadIdx.y;
    const int column = blockIdx.x * kTile + threadIdx.x;
    T sum = 0;
    for (int start = 0; start < inner; start += kTile) {
        const int a_column = start + threadIdx.x;
        const int b_row = start + threadIdx.y;
        tile_a[threadIdx.y][threadIdx.x] =
            row < rows && a_column < inner ? a[row * inner + a_column] : T(0);
        tile_b[threadIdx.y][threadIdx.x] =
            b_row < inner && column < columns ? b[b_row * columns + column] : T(0);
        __syncthreads();
        for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
        __syncthreads();
    }
    if (row < rows && column < columns) product[row * columns + column] = sum;
}

// Small integers as values: every partial sum is exact in any order and with or without FMA.
template <typename T>
void run(const char* name, conformance::Random& random, int rows, int inner, int columns) {
    const auto values = [&random](int count) {
        std::vector<T> result(count);
        for (T& value : result) value = static_cast<T>(static_cast<int>(random.below(17)) - 8);
        return result;
    };
    const auto a = values(rows * inner);
    const auto b = values(inner * columns);
    conformance::DeviceArray<T> device_a(a), device_b(b);
    conformance::DeviceArray<T> device_product(static_cast<std::size_t>(rows) * columns);
    const dim3 grid(conformance::blocks_for(columns, kTile), conformance::blocks_for(rows, kTile));
    multiply<T><<<grid, dim3(kTile, kTile)>>>(device_a.data(), device_b.data(),
                                              device_product.data(), rows, inner, columns);
    CUDA(cudaGetLastError());
    const auto product = device_product.host();
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column) {
            T sum = 0;
            for (int k = 0; k < inner; ++k) sum += a[row * inner + k] * b[k * columns + column];
            CHECK_AT(row * columns + column, product[row * columns + column], sum);
        }
    conformance::report(name, product);
}

}  // namespace

int main() {
    conformance::Random random(102);
    run<float>("float 16x16x16", random, 16, 16, 16);
    run<float>("float 45x70x33", random, 45, 70, 33);
    run<double>("double 20x31x17", random, 20, 31, 17);
    run<int>("int 33x16x50", random, 33, 16, 50);
    return 0;
}
