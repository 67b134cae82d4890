// SPDX-License-Identifier: Apache-2.0
// Textures of one, two and three dimensions: every address mode with every filter, in elements and
// normalised, against the programming guide's formulas.
#include "texture_reference.h"

namespace {

using conformance::ReferenceTexture;

constexpr int kPoints = 4096;
constexpr float kBorder = -3.5f;

struct Point {
    float x, y, z;
};

template <int kDimensions>
__global__ void fetch(cudaTextureObject_t texture, const Point* points, float* results) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const Point at = points[i];
    if (kDimensions == 1) results[i] = tex1D<float>(texture, at.x);
    if (kDimensions == 2) results[i] = tex2D<float>(texture, at.x, at.y);
    if (kDimensions == 3) results[i] = tex3D<float>(texture, at.x, at.y, at.z);
}

void launch(int dimensions, cudaTextureObject_t texture, const Point* points, float* results) {
    constexpr unsigned kThreads = 128;
    if (dimensions == 1) fetch<1><<<kPoints / kThreads, kThreads>>>(texture, points, results);
    if (dimensions == 2) fetch<2><<<kPoints / kThreads, kThreads>>>(texture, points, results);
    if (dimensions == 3) fetch<3><<<kPoints / kThreads, kThreads>>>(texture, points, results);
    CUDA(cudaGetLastError());
}

cudaArray_t make_array(const ReferenceTexture& image, int dimensions) {
    const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
    const auto size = [&](int axis) {
        return static_cast<std::size_t>(axis < dimensions ? image.size[axis] : 0);
    };
    cudaArray_t array;
    CUDA(cudaMalloc3DArray(&array, &format, make_cudaExtent(size(0), size(1), size(2))));
    const std::vector<float> values(image.texels.begin(), image.texels.end());
    const std::size_t row = size(0) * sizeof(float);
    if (dimensions == 3) {
        cudaMemcpy3DParms copy = {};
        copy.srcPtr = make_cudaPitchedPtr(const_cast<float*>(values.data()), row, size(0), size(1));
        copy.dstArray = array;
        copy.extent = make_cudaExtent(size(0), size(1), size(2));
        copy.kind = cudaMemcpyHostToDevice;
        CUDA(cudaMemcpy3D(&copy));
    } else {
        CUDA(cudaMemcpy2DToArray(array, 0, 0, values.data(), row, row,
                                 dimensions == 2 ? size(1) : 1, cudaMemcpyHostToDevice));
    }
    return array;
}

struct Counts {
    int compared = 0;
    int delicate = 0;
};

Counts compare(const ReferenceTexture& image, int dimensions, cudaArray_t array,
               conformance::Random& random, const conformance::DeviceArray<Point>& device_points,
               const conformance::DeviceArray<float>& device_results) {
    cudaResourceDesc resource = {};
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array;
    cudaTextureDesc how = {};
    for (auto& mode : how.addressMode) mode = image.mode;
    how.filterMode = image.linear ? cudaFilterModeLinear : cudaFilterModePoint;
    how.readMode = cudaReadModeElementType;
    how.normalizedCoords = image.normalised;
    how.borderColor[0] = kBorder;
    cudaTextureObject_t texture;
    CUDA(cudaCreateTextureObject(&texture, &resource, &how, nullptr));

    std::vector<Point> points(kPoints);
    const auto place = [&](int axis) {
        const double size = image.normalised ? 1 : image.size[axis];
        return static_cast<float>(random.between(-1.7 * size, 2.9 * size));
    };
    for (Point& point : points) point = {place(0), place(1), place(2)};
    CUDA(cudaMemcpy(device_points.data(), points.data(), device_points.bytes(),
                    cudaMemcpyHostToDevice));
    launch(dimensions, texture, device_points.data(), device_results.data());
    const std::vector<float> results = device_results.host();
    CUDA(cudaDestroyTextureObject(texture));

    Counts counts;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const float at[3] = {points[i].x, points[i].y, points[i].z};
        if (image.is_delicate(at)) {
            ++counts.delicate;
            continue;
        }
        ++counts.compared;
        const double expected = image.fetch(at);
        if (std::fabs(results[i] - expected) > 1e-4)
            conformance::fail(
                __FILE__, __LINE__, "%d dimensions, mode %d at (%g %g %g): %g, not %g", dimensions,
                static_cast<int>(image.mode), at[0], at[1], at[2], results[i], expected);
    }
    return counts;
}

}  // namespace

int main() {
    conformance::Random random(20261);
    const conformance::DeviceArray<Point> points(kPoints);
    const conformance::DeviceArray<float> results(kPoints);
    Counts all;
    for (int dimensions = 1; dimensions <= 3; ++dimensions) {
        ReferenceTexture image;
        image.dimensions = dimensions;
        image.border = kBorder;
        const int sizes[3] = {13, 7, 5};
        std::size_t count = 1;
        for (int axis = 0; axis < dimensions; ++axis) {
            image.size[axis] = sizes[axis];
            count *= static_cast<std::size_t>(sizes[axis]);
        }
        for (std::size_t i = 0; i < count; ++i)
            image.texels.push_back(static_cast<float>(random.between(-8, 8)));
        cudaArray_t array = make_array(image, dimensions);
        for (const auto mode : {cudaAddressModeWrap, cudaAddressModeClamp, cudaAddressModeMirror,
                                cudaAddressModeBorder})
            for (const bool linear : {false, true})
                for (const bool normalised : {false, true}) {
                    image.mode = mode;
                    image.linear = linear;
                    image.normalised = normalised;
                    const Counts counts =
                        compare(image, dimensions, array, random, points, results);
                    all.compared += counts.compared;
                    all.delicate += counts.delicate;
                }
        CUDA(cudaFreeArray(array));
    }
    // The points left out are few, or nothing was compared.
    CHECK(all.compared > 8 * all.delicate);
    std::printf("compared %d points, left out %d\n", all.compared, all.delicate);
    return 0;
}
