// SPDX-License-Identifier: Apache-2.0
// Calls through function pointers in device memory, as parameters, and through virtual tables.
#include "conformance.h"

namespace {

using Operation = int (*)(int, int);

__device__ __noinline__ int sum(int a, int b) {
    return a + b;
}
__device__ __noinline__ int difference(int a, int b) {
    return a - b;
}
__device__ __noinline__ int product(int a, int b) {
    return a * b;
}
__device__ __noinline__ int larger(int a, int b) {
    return a > b ? a : b;
}

__device__ Operation operations[4] = {sum, difference, product, larger};

// Every lane calls a function of its own choice.
__global__ void apply(const int* a, const int* b, int* out) {
    const unsigned i = threadIdx.x;
    out[i] = operations[(a[i] ^ b[i]) & 3](a[i], b[i]);
}

__global__ void apply_given(Operation operation, const int* a, const int* b, int* out) {
    out[threadIdx.x] = operation(a[threadIdx.x], b[threadIdx.x]);
}

struct Shape {
    __device__ virtual ~Shape() {}
    __device__ virtual int area() const = 0;
};

struct Square : Shape {
    int side;
    __device__ explicit Square(int length) : side(length) {}
    __device__ int area() const override { return side * side; }
};

struct Rectangle : Square {
    int height;
    __device__ Rectangle(int a, int b) : Square(a), height(b) {}
    __device__ int area() const override { return side * height; }
};

__global__ void areas(int* out) {
    const int i = threadIdx.x;
    Square square(i);
    Rectangle rectangle(i, i + 3);
    const Shape* shape = i % 3 == 0 ? static_cast<const Shape*>(&rectangle) : &square;
    out[i] = shape->area();
}

int on_host(int operation, int a, int b) {
    switch (operation) {
        case 0:
            return a + b;
        case 1:
            return a - b;
        case 2:
            return a * b;
        default:
            return a > b ? a : b;
    }
}

}  // namespace

int main() {
    conformance::Random random(120);
    const int count = 96;
    std::vector<int> a(count), b(count);
    for (int i = 0; i < count; ++i) {
        a[i] = static_cast<int>(random.below(2000)) - 1000;
        b[i] = static_cast<int>(random.below(2000)) - 1000;
    }
    conformance::DeviceArray<int> device_a(a), device_b(b), out(count);
    apply<<<1, count>>>(device_a.data(), device_b.data(), out.data());
    CUDA(cudaGetLastError());
    auto result = out.host();
    for (int i = 0; i < count; ++i) CHECK_AT(i, result[i], on_host((a[i] ^ b[i]) & 3, a[i], b[i]));
    conformance::report("by table", result);

    Operation table[4];
    CUDA(cudaMemcpyFromSymbol(table, operations, sizeof table));
    for (int operation = 0; operation < 4; ++operation) {
        apply_given<<<1, count>>>(table[operation], device_a.data(), device_b.data(), out.data());
        CUDA(cudaGetLastError());
        result = out.host();
        for (int i = 0; i < count; ++i) CHECK_AT(i, result[i], on_host(operation, a[i], b[i]));
    }
    std::printf("by parameter\n");

    areas<<<1, count>>>(out.data());
    CUDA(cudaGetLastError());
    result = out.host();
    for (int i = 0; i < count; ++i) CHECK_AT(i, result[i], i % 3 == 0 ? i * (i + 3) : i * i);
    conformance::report("virtual", result);
    return 0;
}
