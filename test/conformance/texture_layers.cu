// SPDX-License-Identifier: Apache-2.0
// Layers, cubes, levels and gathers.
#include <cmath>

#include "conformance.h"

namespace {

constexpr int kSide = 4;
constexpr int kFaces = 6;
constexpr int kLayers = 3;

struct Texture {
    Texture(const cudaResourceDesc& resource, const cudaTextureDesc& how) {
        CUDA(cudaCreateTextureObject(&object, &resource, &how, nullptr));
    }
    ~Texture() { cudaDestroyTextureObject(object); }
    Texture(const Texture&) = delete;
    Texture& operator=(const Texture&) = delete;

    cudaTextureObject_t object = 0;
};

cudaResourceDesc resource_of(cudaArray_t array) {
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    return resource;
}

/// An array of which each element is its own number.
cudaArray_t numbered(cudaExtent extent, unsigned flags) {
    const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    cudaArray_t array;
    CUDA(cudaMalloc3DArray(&array, &format, extent, flags));
    const std::size_t rows = extent.height == 0 ? 1 : extent.height;
    const std::size_t slices = extent.depth == 0 ? 1 : extent.depth;
    std::vector<float> values(extent.width * rows * slices);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    cudaMemcpy3DParms copy = {};
    copy.srcPtr =
        make_cudaPitchedPtr(values.data(), extent.width * sizeof(float), extent.width, rows);
    copy.dstArray = array;
    copy.extent = make_cudaExtent(extent.width, rows, slices);
    copy.kind = cudaMemcpyHostToDevice;
    CUDA(cudaMemcpy3D(&copy));
    return array;
}

__global__ void read_layers(cudaTextureObject_t flat, cudaTextureObject_t line, float* results) {
    const unsigned x = threadIdx.x, y = threadIdx.y, layer = blockIdx.x;
    const unsigned i = (layer * blockDim.y + y) * blockDim.x + x;
    results[2 * i] = tex2DLayered<float>(flat, x + 0.5f, y + 0.5f, static_cast<int>(layer));
    results[2 * i + 1] = tex1DLayered<float>(line, x + 0.5f, static_cast<int>(layer));
}

void layers() {
    cudaArray_t flat = numbered(make_cudaExtent(kSide, kSide, kLayers), cudaArrayLayered);
    cudaArray_t line = numbered(make_cudaExtent(kSide, 0, kLayers), cudaArrayLayered);
    const Texture flat_texture(resource_of(flat), {});
    const Texture line_texture(resource_of(line), {});
    const conformance::DeviceArray<float> results(2 * kSide * kSide * kLayers);
    read_layers<<<kLayers, dim3(kSide, kSide)>>>(flat_texture.object, line_texture.object,
                                                 results.data());
    CUDA(cudaGetLastError());
    const std::vector<float> got = results.host();
    for (std::size_t i = 0; i < kSide * kSide * kLayers; ++i) {
        CHECK_AT(i, got[2 * i], static_cast<float>(i));
        const std::size_t x = i % kSide, layer = i / (kSide * kSide);
        CHECK_AT(i, got[2 * i + 1], static_cast<float>(layer * kSide + x));
    }
    CUDA(cudaFreeArray(flat));
    CUDA(cudaFreeArray(line));
    conformance::report("layers", got);
}

struct Direction {
    float x, y, z;
};

/// The guide's table of faces, turned round: the direction to a place on a face.
Direction direction_to(int face, float s, float t) {
    const float u = 2 * s - 1, v = 2 * t - 1;
    switch (face) {
        case 0:
            return {1, -v, -u};
        case 1:
            return {-1, -v, u};
        case 2:
            return {u, 1, v};
        case 3:
            return {u, -1, -v};
        case 4:
            return {u, -v, 1};
        default:
            return {-u, -v, -1};
    }
}

__global__ void read_cube(cudaTextureObject_t cube, cudaTextureObject_t cubes,
                          const Direction* directions, float* results) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const Direction to = directions[i];
    results[2 * i] = texCubemap<float>(cube, to.x, to.y, to.z);
    results[2 * i + 1] = texCubemapLayered<float>(cubes, to.x, to.y, to.z, 1);
}

void cubes() {
    cudaArray_t cube = numbered(make_cudaExtent(kSide, kSide, kFaces), cudaArrayCubemap);
    cudaArray_t layered =
        numbered(make_cudaExtent(kSide, kSide, 2 * kFaces), cudaArrayCubemap | cudaArrayLayered);
    cudaTextureDesc how = {};
    how.normalizedCoords = 1;
    const Texture one(resource_of(cube), how);
    const Texture many(resource_of(layered), how);
    std::vector<Direction> directions;
    for (int face = 0; face < kFaces; ++face)
        for (int y = 0; y < kSide; ++y)
            for (int x = 0; x < kSide; ++x)
                directions.push_back(direction_to(face, (x + 0.5f) / kSide, (y + 0.5f) / kSide));
    const conformance::DeviceArray<Direction> device_directions(directions);
    const conformance::DeviceArray<float> results(2 * directions.size());
    read_cube<<<kFaces, kSide * kSide>>>(one.object, many.object, device_directions.data(),
                                         results.data());
    CUDA(cudaGetLastError());
    const std::vector<float> got = results.host();
    for (std::size_t i = 0; i < directions.size(); ++i) {
        CHECK_AT(i, got[2 * i], static_cast<float>(i));
        CHECK_AT(i, got[2 * i + 1], static_cast<float>(i + kSide * kSide * kFaces));
    }
    CUDA(cudaFreeArray(cube));
    CUDA(cudaFreeArray(layered));
    conformance::report("cubes", got);
}

constexpr int kLevels = 4;
constexpr int kLods = 40;

__global__ void read_levels(cudaTextureObject_t texture, const float* lods, float* results) {
    const unsigned i = threadIdx.x;
    results[2 * i] = tex2DLod<float>(texture, 0.5f, 0.5f, lods[i]);
    // A step of 2^lod elements of the largest level leads to the level lod.
    const float step = exp2f(lods[i]) / 8;
    results[2 * i + 1] =
        tex2DGrad<float>(texture, 0.5f, 0.5f, make_float2(step, 0), make_float2(0, step / 2));
}

// Each level has one value everywhere: 100, 200, …
cudaMipmappedArray_t make_levels() {
    constexpr int kWidth = 8;
    const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    cudaMipmappedArray_t levels;
    CUDA(cudaMallocMipmappedArray(&levels, &format, make_cudaExtent(kWidth, kWidth, 0), kLevels));
    for (unsigned level = 0; level < kLevels; ++level) {
        cudaArray_t array;
        CUDA(cudaGetMipmappedArrayLevel(&array, levels, level));
        const std::size_t side = kWidth >> level;
        const std::vector<float> values(side * side, 100.0f * static_cast<float>(level + 1));
        CUDA(cudaMemcpy2DToArray(array, 0, 0, values.data(), side * sizeof(float),
                                 side * sizeof(float), side, cudaMemcpyHostToDevice));
    }
    return levels;
}

double level_value(double lod, bool linear) {
    const double inside = lod < 0 ? 0 : lod > kLevels - 1 ? kLevels - 1 : lod;
    if (!linear) return 100 * (std::floor(inside + 0.5) + 1);
    const double weight = std::floor((inside - std::floor(inside)) * 256 + 0.5) / 256;
    return 100 * (std::floor(inside) + 1 + weight);
}

void levels() {
    cudaMipmappedArray_t array = make_levels();
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeMipmappedArray;
    resource.res.mipmap.mipmap = array;
    std::vector<float> lods;
    for (int i = 0; i < kLods; ++i) lods.push_back(-1 + 0.131f * static_cast<float>(i));
    const conformance::DeviceArray<float> device_lods(lods);
    const conformance::DeviceArray<float> results(2 * kLods);
    for (const bool linear : {false, true}) {
        cudaTextureDesc how = {};
        how.normalizedCoords = 1;
        how.mipmapFilterMode = linear ? cudaFilterModeLinear : cudaFilterModePoint;
        how.maxMipmapLevelClamp = 99;
        const Texture texture(resource, how);
        read_levels<<<1, kLods>>>(texture.object, device_lods.data(), results.data());
        CUDA(cudaGetLastError());
        const std::vector<float> got = results.host();
        for (std::size_t i = 0; i < lods.size(); ++i) {
            const double want = level_value(lods[i], linear);
            // The weight's last bit hangs on the logarithm's.
            CHECK(std::fabs(got[2 * i] - want) < 0.5);
            CHECK(std::fabs(got[2 * i + 1] - want) < 0.5);
        }
        conformance::report(linear ? "between levels" : "nearest level", got);
    }
    cudaTextureDesc limited = {};
    limited.normalizedCoords = 1;
    limited.minMipmapLevelClamp = 1;
    limited.maxMipmapLevelClamp = 2;
    limited.mipmapLevelBias = 1;
    const Texture texture(resource, limited);
    read_levels<<<1, kLods>>>(texture.object, device_lods.data(), results.data());
    CUDA(cudaGetLastError());
    const std::vector<float> got = results.host();
    for (std::size_t i = 0; i < lods.size(); ++i) {
        const double biased = lods[i] + 1.0;
        CHECK_AT(i, got[2 * i], level_value(biased < 1 ? 1 : biased > 2 ? 2 : biased, false));
    }
    CUDA(cudaFreeMipmappedArray(array));
}

__global__ void gather(cudaTextureObject_t texture, float4* results) {
    results[0] = tex2Dgather<float4>(texture, 1.75f, 2.25f, 0);
    results[1] = tex2Dgather<float4>(texture, 0.25f, 0.25f, 0);
    // There are no other channels to gather.
    bool resident = false;
    results[2].x = tex2D<float>(texture, 1.5f, 2.5f, &resident);
    results[2].y = resident ? 1 : 0;
}

void gathers() {
    cudaArray_t array = numbered(make_cudaExtent(kSide, kSide, 0), cudaArrayTextureGather);
    cudaTextureDesc how = {};
    how.addressMode[0] = how.addressMode[1] = cudaAddressModeClamp;
    const Texture texture(resource_of(array), how);
    const conformance::DeviceArray<float4> results(3);
    gather<<<1, 1>>>(texture.object, results.data());
    CUDA(cudaGetLastError());
    const std::vector<float4> got = results.host();
    const auto number = [](int x, int y) { return static_cast<float>(y * kSide + x); };
    CHECK(got[0].x == number(1, 2) && got[0].y == number(2, 2));
    CHECK(got[0].z == number(2, 1) && got[0].w == number(1, 1));
    CHECK(got[1].x == 0 && got[1].y == 0 && got[1].z == 0 && got[1].w == 0);
    CHECK(got[2].x == number(1, 2) && got[2].y == 1);
    CUDA(cudaFreeArray(array));
}

}  // namespace

int main() {
    layers();
    cubes();
    levels();
    gathers();
    std::printf("gathered\n");
    return 0;
}
