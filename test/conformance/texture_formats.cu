// SPDX-License-Identifier: Apache-2.0
// What textures make of their elements: integers as they are and as fractions, halves, channels,
// sRGB, views, and memory that is no array.
#include <cuda_fp16.h>

#include <cmath>
#include <limits>

#include "conformance.h"

namespace {

constexpr int kCount = 256;

template <typename Result>
__global__ void fetch(cudaTextureObject_t texture, Result* results, int shift) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    results[i] = tex1Dfetch<Result>(texture, i + shift);
}

template <typename Result>
__global__ void read(cudaTextureObject_t texture, Result* results) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    results[i] = tex1D<Result>(texture, static_cast<float>(i) + 0.5f);
}

cudaTextureObject_t texture_of(const cudaResourceDesc& resource, bool fractions, bool srgb = false,
                               const cudaResourceViewDesc* view = nullptr) {
    cudaTextureDesc how = {};
    how.addressMode[0] = how.addressMode[1] = cudaAddressModeClamp;
    how.readMode = fractions ? cudaReadModeNormalizedFloat : cudaReadModeElementType;
    how.sRGB = srgb;
    cudaTextureObject_t texture;
    CUDA(cudaCreateTextureObject(&texture, &resource, &how, view));
    return texture;
}

template <typename T>
cudaResourceDesc linear(const conformance::DeviceArray<T>& memory) {
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeLinear;
    resource.res.linear.devPtr = memory.data();
    resource.res.linear.desc = cudaCreateChannelDesc<T>();
    resource.res.linear.sizeInBytes = memory.bytes();
    return resource;
}

/// Integers of one kind, in memory: as they are, as fractions, and nothing beyond their end.
template <typename T>
void integers(const char* name, bool has_fractions) {
    conformance::Random random(sizeof(T) * 16 + (T(-1) < T(0) ? 1 : 0));
    std::vector<T> values(kCount);
    for (T& value : values) value = static_cast<T>(random.next());
    values[0] = std::numeric_limits<T>::min();
    values[1] = std::numeric_limits<T>::max();
    const conformance::DeviceArray<T> memory(values);
    const conformance::DeviceArray<T> results(kCount);
    cudaTextureObject_t texture = texture_of(linear(memory), false);
    fetch<T><<<1, kCount>>>(texture, results.data(), -1);
    CUDA(cudaGetLastError());
    const std::vector<T> got = results.host();
    for (std::size_t i = 0; i < kCount; ++i) CHECK_AT(i, got[i], i == 0 ? T(0) : values[i - 1]);
    CUDA(cudaDestroyTextureObject(texture));
    conformance::report(name, got);
    if (!has_fractions) return;

    const conformance::DeviceArray<float> numbers(kCount);
    texture = texture_of(linear(memory), true);
    fetch<float><<<1, kCount>>>(texture, numbers.data(), 1);
    CUDA(cudaGetLastError());
    const std::vector<float> parts = numbers.host();
    const double most = std::numeric_limits<T>::max();
    for (std::size_t i = 0; i < kCount; ++i) {
        const double want = i + 1 < kCount ? std::fmax(values[i + 1] / most, -1.0) : 0;
        CHECK(std::fabs(parts[i] - want) < 1e-6);
    }
    CUDA(cudaDestroyTextureObject(texture));
}

template <typename T>
cudaArray_t line(const std::vector<T>& values, const cudaChannelFormatDesc& format) {
    cudaArray_t array;
    CUDA(cudaMallocArray(&array, &format, values.size(), 0));
    const std::size_t bytes = values.size() * sizeof(T);
    CUDA(cudaMemcpy2DToArray(array, 0, 0, values.data(), bytes, bytes, 1, cudaMemcpyHostToDevice));
    return array;
}

cudaResourceDesc resource_of(cudaArray_t array) {
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    return resource;
}

void channels() {
    std::vector<uchar4> pixels(kCount);
    for (int i = 0; i < kCount; ++i)
        pixels[static_cast<std::size_t>(i)] = make_uchar4(i, 255 - i, i / 2, i ^ 0x55);
    cudaArray_t array = line(pixels, cudaCreateChannelDesc<uchar4>());
    const conformance::DeviceArray<uchar4> bytes(kCount);
    const conformance::DeviceArray<float4> parts(kCount);
    const conformance::DeviceArray<unsigned> words(kCount);
    cudaTextureObject_t as_bytes = texture_of(resource_of(array), false);
    cudaTextureObject_t as_srgb = texture_of(resource_of(array), true, true);
    cudaResourceViewDesc view = {};
    view.format = cudaResViewFormatUnsignedInt1;
    view.width = kCount;
    cudaTextureObject_t as_words = texture_of(resource_of(array), false, false, &view);
    read<uchar4><<<1, kCount>>>(as_bytes, bytes.data());
    read<float4><<<1, kCount>>>(as_srgb, parts.data());
    read<unsigned><<<1, kCount>>>(as_words, words.data());
    CUDA(cudaGetLastError());
    const auto got = bytes.host();
    const auto got_parts = parts.host();
    const auto got_words = words.host();
    const auto linear_light = [](unsigned char value) {
        const double c = value / 255.0;
        return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    for (std::size_t i = 0; i < kCount; ++i) {
        CHECK(std::memcmp(&got[i], &pixels[i], 4) == 0);
        CHECK(std::memcmp(&got_words[i], &pixels[i], 4) == 0);
        CHECK(std::fabs(got_parts[i].x - linear_light(pixels[i].x)) < 3e-3);
        CHECK(std::fabs(got_parts[i].z - linear_light(pixels[i].z)) < 3e-3);
        // The fourth channel is no colour.
        CHECK(std::fabs(got_parts[i].w - pixels[i].w / 255.0) < 1e-6);
    }
    for (cudaTextureObject_t texture : {as_bytes, as_srgb, as_words})
        CUDA(cudaDestroyTextureObject(texture));
    CUDA(cudaFreeArray(array));
    conformance::report("pixels", got_words);
}

void halves() {
    std::vector<__half> values(kCount);
    for (int i = 0; i < kCount; ++i)
        values[static_cast<std::size_t>(i)] =
            __float2half(std::ldexp(static_cast<float>(i - 100), i % 24 - 20));
    const cudaChannelFormatDesc format = cudaCreateChannelDescHalf();
    cudaArray_t array = line(values, format);
    cudaTextureObject_t texture = texture_of(resource_of(array), false);
    const conformance::DeviceArray<float> results(kCount);
    read<float><<<1, kCount>>>(texture, results.data());
    CUDA(cudaGetLastError());
    const auto got = results.host();
    for (std::size_t i = 0; i < kCount; ++i) CHECK_AT(i, got[i], __half2float(values[i]));
    CUDA(cudaDestroyTextureObject(texture));
    CUDA(cudaFreeArray(array));
    conformance::report("halves", got);
}

__global__ void read_rows(cudaTextureObject_t texture, float* results) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const float x = static_cast<float>(threadIdx.x), y = static_cast<float>(blockIdx.x);
    results[i] = tex2D<float>(texture, x + 1.0f, y + 0.5f);
}

// Rows of memory with a pitch, filtered.
void rows() {
    constexpr std::size_t kWidth = 20, kHeight = 9;
    float* memory;
    std::size_t pitch;
    CUDA(cudaMallocPitch(&memory, &pitch, kWidth * sizeof(float), kHeight));
    std::vector<float> values(kWidth * kHeight);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * i % 101);
    CUDA(cudaMemcpy2D(memory, pitch, values.data(), kWidth * sizeof(float), kWidth * sizeof(float),
                      kHeight, cudaMemcpyHostToDevice));
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypePitch2D;
    resource.res.pitch2D.devPtr = memory;
    resource.res.pitch2D.desc = cudaCreateChannelDesc<float>();
    resource.res.pitch2D.width = kWidth;
    resource.res.pitch2D.height = kHeight;
    resource.res.pitch2D.pitchInBytes = pitch;
    cudaTextureDesc how = {};
    how.addressMode[0] = how.addressMode[1] = cudaAddressModeClamp;
    how.filterMode = cudaFilterModeLinear;
    cudaTextureObject_t texture;
    CUDA(cudaCreateTextureObject(&texture, &resource, &how, nullptr));
    const conformance::DeviceArray<float> results(values.size());
    read_rows<<<kHeight, kWidth>>>(texture, results.data());
    CUDA(cudaGetLastError());
    const auto got = results.host();
    for (std::size_t i = 0; i < got.size(); ++i) {
        const std::size_t next = i % kWidth + 1 < kWidth ? i + 1 : i;
        CHECK_AT(i, got[i], (values[i] + values[next]) / 2);
    }
    CUDA(cudaDestroyTextureObject(texture));
    CUDA(cudaFree(memory));
    conformance::report("rows", got);
}

}  // namespace

int main() {
    integers<unsigned char>("unsigned bytes", true);
    integers<signed char>("signed bytes", true);
    integers<unsigned short>("unsigned halves of words", true);
    integers<short>("signed halves of words", true);
    integers<unsigned>("unsigned words", false);
    integers<int>("signed words", false);
    channels();
    halves();
    rows();
    return 0;
}
