// SPDX-License-Identifier: Apache-2.0
// f64 and f32 arithmetic: what IEEE 754 defines is compared bit by bit, functions within ulps.
#include <cmath>

#include "conformance.h"

namespace {

constexpr int kExact = 7;
constexpr int kFunctions = 8;

template <typename T>
__global__ void exact(const T* a, const T* b, const T* c, T* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T results[kExact] = {a[i] + b[i],           a[i] * b[i],      a[i] / b[i],
                               fma(a[i], b[i], c[i]), sqrt(fabs(a[i])), floor(a[i]),
                               fmin(a[i], c[i])};
    for (int k = 0; k < kExact; ++k) out[k * count + i] = results[k];
}

template <typename T>
__global__ void functions(const T* a, T* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T results[kFunctions] = {exp(a[i]),  log(fabs(a[i])), sin(a[i]),  cos(a[i]),
                                   tanh(a[i]), cbrt(a[i]),      atan(a[i]), erf(a[i])};
    for (int k = 0; k < kFunctions; ++k) out[k * count + i] = results[k];
}

template <typename T>
bool identical(T got, T want) {
    return (std::isnan(got) && std::isnan(want)) || std::memcmp(&got, &want, sizeof got) == 0;
}

template <typename T>
void run(const char* name, conformance::Random& random, T tolerance) {
    const int count = 2048;
    std::vector<T> a(count), b(count), c(count);
    for (int i = 0; i < count; ++i) {
        a[i] = static_cast<T>(random.between(-8, 8));
        b[i] = static_cast<T>(random.between(-1, 1) * std::ldexp(1.0, i % 40 - 20));
        // Cancels in the fused operation: only a single rounding gives the right bits.
        c[i] = i % 2 ? -a[i] * b[i] : static_cast<T>(random.between(-100, 100));
    }
    conformance::DeviceArray<T> device_a(a), device_b(b), device_c(c);
    conformance::DeviceArray<T> out(kExact * count), values(kFunctions * count);
    exact<T><<<conformance::blocks_for(count, 128), 128>>>(device_a.data(), device_b.data(),
                                                           device_c.data(), out.data(), count);
    CUDA(cudaGetLastError());
    auto result = out.host();
    for (int i = 0; i < count; ++i) {
        const T expected[kExact] = {a[i] + b[i],
                                    a[i] * b[i],
                                    a[i] / b[i],
                                    std::fma(a[i], b[i], c[i]),
                                    std::sqrt(std::fabs(a[i])),
                                    std::floor(a[i]),
                                    std::fmin(a[i], c[i])};
        for (int k = 0; k < kExact; ++k)
            if (!identical(result[k * count + i], expected[k]))
                conformance::fail(__FILE__, __LINE__, "%s operation %d at %d: %a, not %a", name, k,
                                  i, static_cast<double>(result[k * count + i]),
                                  static_cast<double>(expected[k]));
    }
    std::printf("%s: ", name);
    conformance::report("exact operations", result);

    functions<T>
        <<<conformance::blocks_for(count, 128), 128>>>(device_a.data(), values.data(), count);
    CUDA(cudaGetLastError());
    result = values.host();
    for (int i = 0; i < count; ++i) {
        const double x = a[i];
        const double expected[kFunctions] = {
            std::exp(x),  std::log(std::fabs(x)), std::sin(x),  std::cos(x),
            std::tanh(x), std::cbrt(x),           std::atan(x), std::erf(x)};
        for (int k = 0; k < kFunctions; ++k) {
            const double error = std::fabs(result[k * count + i] - expected[k]);
            CHECK(error <= tolerance * std::fmax(1.0, std::fabs(expected[k])));
        }
    }
    std::printf("%s: functions within tolerance\n", name);
}

}  // namespace

int main() {
    conformance::Random random(111);
    run<double>("double", random, 0x1p-49);
    run<float>("float", random, 0x1p-20f);
    return 0;
}
