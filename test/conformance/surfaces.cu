// SPDX-License-Identifier: Apache-2.0
// Surfaces: written and read in all dimensions, with layers and faces, with the boundary modes that
// do not end the kernel, and seen by textures of the same array.
#include "conformance.h"

namespace {

constexpr int kWidth = 8, kHeight = 6, kDepth = 4;

cudaArray_t make_array(const cudaChannelFormatDesc& format, cudaExtent extent, unsigned flags = 0) {
    cudaArray_t array;
    CUDA(cudaMalloc3DArray(&array, &format, extent, flags | cudaArraySurfaceLoadStore));
    return array;
}

struct Surface {
    explicit Surface(cudaArray_t array) {
        cudaResourceDesc resource = {};
        resource.resType = cudaResourceTypeArray;
        resource.res.array.array = array;
        CUDA(cudaCreateSurfaceObject(&object, &resource));
    }
    ~Surface() { cudaDestroySurfaceObject(object); }
    Surface(const Surface&) = delete;
    Surface& operator=(const Surface&) = delete;

    cudaSurfaceObject_t object = 0;
};

/// All of an array, by a copy.
template <typename T>
std::vector<T> contents(cudaArray_t array, std::size_t width, std::size_t height,
                        std::size_t depth) {
    std::vector<T> values(width * height * depth);
    cudaMemcpy3DParms copy = {};
    copy.srcArray = array;
    copy.dstPtr = make_cudaPitchedPtr(values.data(), width * sizeof(T), width, height);
    copy.extent = make_cudaExtent(width, height, depth);
    copy.kind = cudaMemcpyDeviceToHost;
    CUDA(cudaMemcpy3D(&copy));
    return values;
}

__global__ void write_flat(cudaSurfaceObject_t line, cudaSurfaceObject_t flat) {
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(blockIdx.x);
    if (y == 0) surf1Dwrite(static_cast<short>(x - 3), line, x * 2);
    surf2Dwrite(make_uchar4(x, y, x + y, 255), flat, x * 4, y);
}

__global__ void double_flat(cudaSurfaceObject_t line, cudaSurfaceObject_t flat) {
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(blockIdx.x);
    if (y == 0) surf1Dwrite(static_cast<short>(2 * surf1Dread<short>(line, x * 2)), line, x * 2);
    uchar4 value = surf2Dread<uchar4>(flat, x * 4, y);
    value.x *= 2;
    value.w -= 5;
    surf2Dwrite(value, flat, x * 4, y);
}

void flat() {
    cudaArray_t line = make_array(cudaCreateChannelDesc<short>(), make_cudaExtent(kWidth, 0, 0));
    cudaArray_t plane =
        make_array(cudaCreateChannelDesc<uchar4>(), make_cudaExtent(kWidth, kHeight, 0));
    {
        const Surface line_surface(line), plane_surface(plane);
        write_flat<<<kHeight, kWidth>>>(line_surface.object, plane_surface.object);
        double_flat<<<kHeight, kWidth>>>(line_surface.object, plane_surface.object);
        CUDA(cudaGetLastError());
        CUDA(cudaDeviceSynchronize());
    }
    const auto shorts = contents<short>(line, kWidth, 1, 1);
    for (std::size_t x = 0; x < kWidth; ++x) CHECK_AT(x, shorts[x], 2 * (static_cast<int>(x) - 3));
    const auto pixels = contents<uchar4>(plane, kWidth, kHeight, 1);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        const std::size_t x = i % kWidth, y = i / kWidth;
        CHECK_AT(i, pixels[i].x, 2 * x);
        CHECK_AT(i, pixels[i].y, y);
        CHECK_AT(i, pixels[i].z, x + y);
        CHECK_AT(i, pixels[i].w, 250);
    }
    CUDA(cudaFreeArray(line));
    CUDA(cudaFreeArray(plane));
    conformance::report("flat", pixels);
}

__global__ void write_deep(cudaSurfaceObject_t box, cudaSurfaceObject_t layers,
                           cudaSurfaceObject_t lines, cudaSurfaceObject_t cube) {
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    const int z = static_cast<int>(blockIdx.x);
    const float number = static_cast<float>((z * kHeight + y) * kWidth + x);
    surf3Dwrite(make_float4(number, 1, 2, -number), box, x * 16, y, z);
    surf2DLayeredwrite(make_int2(z, x * y), layers, x * 8, y, z);
    if (y == 0) surf1DLayeredwrite(number, lines, x * 4, z);
    if (x < kHeight) surfCubemapwrite(number, cube, x * 4, y, z);
}

void deep() {
    cudaArray_t box =
        make_array(cudaCreateChannelDesc<float4>(), make_cudaExtent(kWidth, kHeight, kDepth));
    cudaArray_t layers = make_array(cudaCreateChannelDesc<int2>(),
                                    make_cudaExtent(kWidth, kHeight, kDepth), cudaArrayLayered);
    cudaArray_t lines = make_array(cudaCreateChannelDesc<float>(),
                                   make_cudaExtent(kWidth, 0, kDepth), cudaArrayLayered);
    cudaArray_t cube = make_array(cudaCreateChannelDesc<float>(),
                                  make_cudaExtent(kHeight, kHeight, 6), cudaArrayCubemap);
    {
        const Surface a(box), b(layers), c(lines), d(cube);
        write_deep<<<kDepth, dim3(kWidth, kHeight)>>>(a.object, b.object, c.object, d.object);
        CUDA(cudaGetLastError());
        CUDA(cudaDeviceSynchronize());
    }
    const auto boxed = contents<float4>(box, kWidth, kHeight, kDepth);
    const auto layered = contents<int2>(layers, kWidth, kHeight, kDepth);
    const auto lined = contents<float>(lines, kWidth, 1, kDepth);
    const auto faces = contents<float>(cube, kHeight, kHeight, kDepth);
    for (std::size_t i = 0; i < boxed.size(); ++i) {
        const std::size_t x = i % kWidth, y = i / kWidth % kHeight, z = i / kWidth / kHeight;
        CHECK_AT(i, boxed[i].x, static_cast<float>(i));
        CHECK_AT(i, boxed[i].w, -static_cast<float>(i));
        CHECK_AT(i, layered[i].x, static_cast<int>(z));
        CHECK_AT(i, layered[i].y, static_cast<int>(x * y));
        if (y == 0) CHECK_AT(i, lined[z * kWidth + x], static_cast<float>(i));
        if (x < kHeight) CHECK_AT(i, faces[(z * kHeight + y) * kHeight + x], static_cast<float>(i));
    }
    for (cudaArray_t array : {box, layers, lines, cube}) CUDA(cudaFreeArray(array));
    conformance::report("deep", layered);
}

__global__ void reach_out(cudaSurfaceObject_t surface, int* results) {
    const int x = static_cast<int>(threadIdx.x) - 4;
    results[threadIdx.x] = surf2Dread<int>(surface, x * 4, 1, cudaBoundaryModeClamp);
    results[16 + threadIdx.x] = surf2Dread<int>(surface, x * 4, 1, cudaBoundaryModeZero);
    results[32 + threadIdx.x] = surf2Dread<int>(surface, 0, x, cudaBoundaryModeClamp);
    surf2Dwrite(-1, surface, x * 4, -1, cudaBoundaryModeZero);
}

void boundaries() {
    constexpr std::size_t kSide = 8;
    cudaArray_t array = make_array(cudaCreateChannelDesc<int>(), make_cudaExtent(kSide, kSide, 0));
    std::vector<int> values(kSide * kSide);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i) + 1;
    CUDA(cudaMemcpy2DToArray(array, 0, 0, values.data(), kSide * sizeof(int), kSide * sizeof(int),
                             kSide, cudaMemcpyHostToDevice));
    const conformance::DeviceArray<int> results(48);
    {
        const Surface surface(array);
        reach_out<<<1, 16>>>(surface.object, results.data());
        CUDA(cudaGetLastError());
        CUDA(cudaDeviceSynchronize());
    }
    const std::vector<int> got = results.host();
    for (int thread = 0; thread < 16; ++thread) {
        const int at = thread - 4;
        const int inside = at < 0 ? 0 : at > 7 ? 7 : at;
        const auto i = static_cast<std::size_t>(thread);
        CHECK_AT(i, got[i], 9 + inside);
        CHECK_AT(i, got[16 + i], at == inside ? 9 + inside : 0);
        CHECK_AT(i, got[32 + i], 1 + 8 * inside);
    }
    CHECK(contents<int>(array, kSide, kSide, 1) == values);
    CUDA(cudaFreeArray(array));
    conformance::report("boundaries", got);
}

__global__ void fill(cudaSurfaceObject_t surface) {
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(blockIdx.x);
    surf2Dwrite(static_cast<float>(x + 10 * y), surface, x * 4, y);
}

__global__ void sum_pairs(cudaTextureObject_t texture, float* results) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const float x = static_cast<float>(threadIdx.x), y = static_cast<float>(blockIdx.x);
    results[i] = tex2D<float>(texture, x + 0.5f, y + 0.5f);
}

// What a kernel writes by a surface the next one reads by a texture.
void surface_then_texture() {
    cudaArray_t array =
        make_array(cudaCreateChannelDesc<float>(), make_cudaExtent(kWidth, kHeight, 0));
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    const cudaTextureDesc how = {};
    cudaTextureObject_t texture;
    CUDA(cudaCreateTextureObject(&texture, &resource, &how, nullptr));
    const Surface surface(array);
    const conformance::DeviceArray<float> results(kWidth * kHeight);
    fill<<<kHeight, kWidth>>>(surface.object);
    sum_pairs<<<kHeight, kWidth>>>(texture, results.data());
    CUDA(cudaGetLastError());
    const std::vector<float> got = results.host();
    for (std::size_t i = 0; i < got.size(); ++i)
        CHECK_AT(i, got[i], static_cast<float>(i % kWidth + 10 * (i / kWidth)));
    CUDA(cudaDestroyTextureObject(texture));
    CUDA(cudaFreeArray(array));
    conformance::report("texture of a surface", got);
}

}  // namespace

int main() {
    flat();
    deep();
    boundaries();
    surface_then_texture();
    return 0;
}
