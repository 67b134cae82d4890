// SPDX-License-Identifier: Apache-2.0
// Arrays and the copies with them.
#include <cstring>
#include <numeric>
#include <vector>

#include "device_fixture.h"

namespace {

CUDA_ARRAY3D_DESCRIPTOR described(std::size_t width, std::size_t height, std::size_t depth,
                                  unsigned flags = 0, unsigned channels = 1) {
    return {width, height, depth, CU_AD_FORMAT_FLOAT, channels, flags};
}

struct OwnArray {
    explicit OwnArray(const CUDA_ARRAY3D_DESCRIPTOR& description) {
        SUCCEEDS(cuArray3DCreate(&handle, &description));
    }
    ~OwnArray() { cuArrayDestroy(handle); }
    OwnArray(const OwnArray&) = delete;
    OwnArray& operator=(const OwnArray&) = delete;

    CUarray handle = nullptr;
};

std::vector<float> numbers(std::size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
}

CUDA_MEMCPY3D whole(std::size_t width, std::size_t height, std::size_t depth) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = width * sizeof(float);
    copy.Height = height;
    copy.Depth = depth;
    copy.srcPitch = copy.dstPitch = copy.WidthInBytes;
    copy.srcHeight = copy.dstHeight = height;
    return copy;
}

CUDA_MEMCPY3D into(CUarray array, const std::vector<float>& from, std::size_t width,
                   std::size_t height, std::size_t depth) {
    CUDA_MEMCPY3D copy = whole(width, height, depth);
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = from.data();
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    return copy;
}

CUDA_MEMCPY3D out_of(CUarray array, std::vector<float>& to, std::size_t width, std::size_t height,
                     std::size_t depth) {
    CUDA_MEMCPY3D copy = whole(width, height, depth);
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to.data();
    return copy;
}

}  // namespace

TEST_CASE_METHOD(DeviceFixture, "an array gives back what was copied into it") {
    const OwnArray array(described(8, 4, 3));
    const std::vector<float> values = numbers(8 * 4 * 3);
    CUDA_MEMCPY3D copy = into(array.handle, values, 8, 4, 3);
    SUCCEEDS(cuMemcpy3D(&copy));
    std::vector<float> back(values.size());
    copy = out_of(array.handle, back, 8, 4, 3);
    SUCCEEDS(cuMemcpy3D(&copy));
    CHECK(back == values);
}

TEST_CASE_METHOD(DeviceFixture, "a part of an array is copied to device memory and back") {
    const OwnArray array(described(8, 4, 3));
    const std::vector<float> values = numbers(8 * 4 * 3);
    CUDA_MEMCPY3D copy = into(array.handle, values, 8, 4, 3);
    SUCCEEDS(cuMemcpy3D(&copy));

    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 2 * 2 * 2 * sizeof(float)));
    CUDA_MEMCPY3D part = whole(2, 2, 2);
    part.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    part.srcArray = array.handle;
    part.srcXInBytes = 3 * sizeof(float);
    part.srcY = 1;
    part.srcZ = 1;
    part.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    part.dstDevice = memory;
    SUCCEEDS(cuMemcpy3DAsync(&part, nullptr));
    std::vector<float> got(8);
    SUCCEEDS(cuMemcpyDtoH(got.data(), memory, 8 * sizeof(float)));
    const auto at = [&](std::size_t x, std::size_t y, std::size_t z) {
        return values[x + 8 * (y + 4 * z)];
    };
    CHECK(got == std::vector{at(3, 1, 1), at(4, 1, 1), at(3, 2, 1), at(4, 2, 1), at(3, 1, 2),
                             at(4, 1, 2), at(3, 2, 2), at(4, 2, 2)});

    const OwnArray flat(described(2, 4, 0));
    CUDA_MEMCPY2D rows{};
    rows.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    rows.srcDevice = memory;
    rows.srcPitch = 2 * sizeof(float);
    rows.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    rows.dstArray = flat.handle;
    rows.WidthInBytes = 2 * sizeof(float);
    rows.Height = 4;
    SUCCEEDS(cuMemcpy2D(&rows));
    std::vector<float> back(8);
    copy = out_of(flat.handle, back, 2, 4, 1);
    SUCCEEDS(cuMemcpy3D(&copy));
    CHECK(back == got);
    SUCCEEDS(cuMemFree(memory));
}

TEST_CASE_METHOD(DeviceFixture, "arrays are copied into arrays of equal elements only") {
    const OwnArray from(described(4, 0, 0));
    const OwnArray to(described(4, 2, 0));
    const OwnArray wide(described(4, 0, 0, 0, 4));
    const std::vector<float> values = numbers(4);
    CUDA_MEMCPY3D copy = into(from.handle, values, 4, 1, 1);
    SUCCEEDS(cuMemcpy3D(&copy));
    copy = whole(4, 1, 1);
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = from.handle;
    copy.dstArray = to.handle;
    copy.dstY = 1;
    SUCCEEDS(cuMemcpy3D(&copy));
    std::vector<float> back(4);
    CUDA_MEMCPY3D out = out_of(to.handle, back, 4, 1, 1);
    out.srcY = 1;
    SUCCEEDS(cuMemcpy3D(&out));
    CHECK(back == values);
    copy.dstArray = wide.handle;
    copy.dstY = 0;
    CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture, "no copy leaves its array") {
    const OwnArray array(described(8, 4, 3));
    const std::vector<float> values = numbers(8 * 4 * 3);
    const CUDA_MEMCPY3D good = into(array.handle, values, 8, 4, 3);
    const auto refused = [&](auto change) {
        CUDA_MEMCPY3D copy = good;
        change(copy);
        return cuMemcpy3D(&copy);
    };
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstXInBytes = 4; }) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstXInBytes = ~std::size_t{3}; }) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstY = 1; }) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstZ = 1; }) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.WidthInBytes = 3; }) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstXInBytes = 2, c.WidthInBytes = 4; }) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstLOD = 1; }) == CUDA_ERROR_INVALID_VALUE);
    CHECK(refused([](CUDA_MEMCPY3D& c) { c.dstArray = nullptr; }) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(DeviceFixture, "what cannot be an array is refused") {
    CUarray array = nullptr;
    const auto create = [&](CUDA_ARRAY3D_DESCRIPTOR description) {
        return cuArray3DCreate(&array, &description);
    };
    CHECK(create(described(0, 4, 0)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 0, 4)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(131073, 0, 0)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 65537, 0)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 16385)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 0, 0, 3)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 0, CUDA_ARRAY3D_LAYERED)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 5, CUDA_ARRAY3D_CUBEMAP)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 5, 6, CUDA_ARRAY3D_CUBEMAP)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 12, CUDA_ARRAY3D_CUBEMAP)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 0, 0, CUDA_ARRAY3D_TEXTURE_GATHER)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(create(described(4, 4, 0, CUDA_ARRAY3D_SPARSE)) == CUDA_ERROR_NOT_SUPPORTED);
    CUDA_ARRAY3D_DESCRIPTOR planes = described(4, 4, 0);
    planes.Format = CU_AD_FORMAT_NV12;
    CHECK(create(planes) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuArray3DCreate(nullptr, &planes) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuArray3DCreate(&array, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(array == nullptr);
    SUCCEEDS(create(described(4, 4, 12, CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED)));
    SUCCEEDS(cuArrayDestroy(array));
}

TEST_CASE_METHOD(DeviceFixture, "an array's memory is the device's and comes back") {
    const std::size_t before = available();
    CUarray array = nullptr;
    CUDA_ARRAY3D_DESCRIPTOR description = described(1024, 1024, 2);
    SUCCEEDS(cuArray3DCreate(&array, &description));
    CHECK(before - available() >= std::size_t{8} << 20);
    SUCCEEDS(cuArrayDestroy(array));
    CHECK(available() == before);
    CHECK(cuArrayDestroy(array) == CUDA_ERROR_INVALID_HANDLE);
    CUDA_ARRAY3D_DESCRIPTOR got{};
    CHECK(cuArray3DGetDescriptor(&got, array) == CUDA_ERROR_INVALID_HANDLE);
    description = described(16384, 16384, 16, 0, 4);
    CHECK(cuArray3DCreate(&array, &description) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(available() == before);
}

TEST_CASE_METHOD(DeviceFixture, "an array ends with its context") {
    CUcontext other = nullptr;
    const std::size_t before = available();
    SUCCEEDS(cuCtxCreate(&other, nullptr, 0, 0));
    CUarray array = nullptr;
    const CUDA_ARRAY3D_DESCRIPTOR description = described(1024, 1024, 2);
    SUCCEEDS(cuArray3DCreate(&array, &description));
    SUCCEEDS(cuCtxDestroy(other));
    SUCCEEDS(cuCtxSetCurrent(context));
    CHECK(available() == before);
    CHECK(cuArrayDestroy(array) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(DeviceFixture, "an array says how it was made") {
    const OwnArray array(described(6, 5, 4, CUDA_ARRAY3D_LAYERED, 2));
    CUDA_ARRAY3D_DESCRIPTOR got{};
    SUCCEEDS(cuArray3DGetDescriptor(&got, array.handle));
    CHECK(got.Width == 6);
    CHECK(got.Height == 5);
    CHECK(got.Depth == 4);
    CHECK(got.Format == CU_AD_FORMAT_FLOAT);
    CHECK(got.NumChannels == 2);
    CHECK(got.Flags == CUDA_ARRAY3D_LAYERED);
    CUDA_ARRAY_DESCRIPTOR flat{};
    SUCCEEDS(cuArrayGetDescriptor(&flat, array.handle));
    CHECK(flat.Width == 6);
    CHECK(flat.NumChannels == 2);
    CUDA_ARRAY_MEMORY_REQUIREMENTS requirements{};
    CHECK(cuArrayGetMemoryRequirements(&requirements, array.handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuArrayGetMemoryRequirements(&requirements, array.handle, 9) ==
          CUDA_ERROR_INVALID_DEVICE);
    CUDA_ARRAY_SPARSE_PROPERTIES sparse{};
    CHECK(cuArrayGetSparseProperties(&sparse, array.handle) == CUDA_ERROR_INVALID_VALUE);
    CUarray plane = nullptr;
    CHECK(cuArrayGetPlane(&plane, array.handle, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture, "levels are arrays of their own, in one piece of memory") {
    const std::size_t before = available();
    CUmipmappedArray mipmaps = nullptr;
    const CUDA_ARRAY3D_DESCRIPTOR description = described(8, 2, 0);
    CHECK(cuMipmappedArrayCreate(&mipmaps, &description, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMipmappedArrayCreate(&mipmaps, &description, 9));
    const std::size_t widths[] = {8, 4, 2, 1};
    const std::size_t heights[] = {2, 1, 1, 1};
    std::vector<CUarray> levels(4);
    for (unsigned level = 0; level < 4; ++level) {
        SUCCEEDS(cuMipmappedArrayGetLevel(&levels[level], mipmaps, level));
        CUDA_ARRAY3D_DESCRIPTOR got{};
        SUCCEEDS(cuArray3DGetDescriptor(&got, levels[level]));
        CHECK(got.Width == widths[level]);
        CHECK(got.Height == heights[level]);
        const std::vector<float> values(got.Width * got.Height, static_cast<float>(level));
        CUDA_MEMCPY3D copy = into(levels[level], values, got.Width, got.Height, 1);
        SUCCEEDS(cuMemcpy3D(&copy));
    }
    for (unsigned level = 0; level < 4; ++level) {
        std::vector<float> back(widths[level] * heights[level]);
        CUDA_MEMCPY3D copy = out_of(levels[level], back, widths[level], heights[level], 1);
        SUCCEEDS(cuMemcpy3D(&copy));
        CHECK(back == std::vector<float>(back.size(), static_cast<float>(level)));
    }
    CUarray none = nullptr;
    CHECK(cuMipmappedArrayGetLevel(&none, mipmaps, 4) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuArrayDestroy(levels[0]) == CUDA_ERROR_INVALID_HANDLE);
    SUCCEEDS(cuMipmappedArrayDestroy(mipmaps));
    CHECK(cuMipmappedArrayDestroy(mipmaps) == CUDA_ERROR_INVALID_HANDLE);
    CUDA_ARRAY3D_DESCRIPTOR got{};
    CHECK(cuArray3DGetDescriptor(&got, levels[1]) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(available() == before);
}

TEST_CASE_METHOD(DeviceFixture, "a captured copy keeps its array, and tells of it") {
    CUarray array = nullptr;
    const CUDA_ARRAY3D_DESCRIPTOR description = described(4, 4, 0);
    SUCCEEDS(cuArray3DCreate(&array, &description));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 2 * sizeof(float)));
    const std::vector<float> values = numbers(16);
    CUDA_MEMCPY3D copy = into(array, values, 4, 4, 1);
    SUCCEEDS(cuMemcpy3D(&copy));

    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SUCCEEDS(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CUDA_MEMCPY3D part = whole(2, 1, 1);
    part.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    part.srcArray = array;
    part.srcXInBytes = sizeof(float);
    part.srcY = 2;
    part.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    part.dstDevice = memory;
    SUCCEEDS(cuMemcpy3DAsync(&part, stream));
    CUgraph graph = nullptr;
    SUCCEEDS(cuStreamEndCapture(stream, &graph));
    CUgraphNode node = nullptr;
    std::size_t count = 1;
    SUCCEEDS(cuGraphGetNodes(graph, &node, &count));
    CUDA_MEMCPY3D told{};
    SUCCEEDS(cuGraphMemcpyNodeGetParams(node, &told));
    CHECK(told.srcMemoryType == CU_MEMORYTYPE_ARRAY);
    CHECK(told.srcArray == array);
    CHECK(told.srcXInBytes == sizeof(float));
    CHECK(told.srcY == 2);
    CHECK(told.srcZ == 0);

    CUgraphExec exec = nullptr;
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    // The memory stays as long as the graph could read it.
    SUCCEEDS(cuArrayDestroy(array));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    SUCCEEDS(cuStreamSynchronize(stream));
    std::vector<float> got(2);
    SUCCEEDS(cuMemcpyDtoH(got.data(), memory, 2 * sizeof(float)));
    CHECK(got == std::vector{values[9], values[10]});
    SUCCEEDS(cuGraphExecDestroy(exec));
    SUCCEEDS(cuGraphDestroy(graph));
    SUCCEEDS(cuStreamDestroy(stream));
}
