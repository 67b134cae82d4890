// SPDX-License-Identifier: Apache-2.0
// cuMemcpy2D and 3D against the rule of their documentation, byte by byte, through staging and on
// the device alone.
#include <catch2/catch.hpp>
#include <numeric>
#include <vector>

#include "fake_gpu.h"
#include "libcuda/staging.h"

namespace cubar::guest::test {
namespace {

struct Volume {
    std::size_t pitch;
    std::size_t rows;
    std::size_t slices;
    std::size_t bytes() const { return pitch * rows * slices; }
    std::size_t at(std::size_t x, std::size_t y, std::size_t z) const {
        return (z * rows + y) * pitch + x;
    }
};

struct Box {
    std::size_t width;
    std::size_t height;
    std::size_t depth;
    std::size_t source_place[3];
    std::size_t target_place[3];
};

std::vector<unsigned char> numbered(std::size_t bytes, unsigned start) {
    std::vector<unsigned char> made(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        made[i] = static_cast<unsigned char>((i * 31 + i / 251 + start) % 251);
    }
    return made;
}

/// What the target must hold afterwards: what it held before, and the box.
std::vector<unsigned char> expected(const std::vector<unsigned char>& before, const Volume& target,
                                    const std::vector<unsigned char>& from, const Volume& source,
                                    const Box& box) {
    std::vector<unsigned char> after = before;
    for (std::size_t z = 0; z < box.depth; ++z) {
        for (std::size_t y = 0; y < box.height; ++y) {
            for (std::size_t x = 0; x < box.width; ++x) {
                after[target.at(box.target_place[0] + x, box.target_place[1] + y,
                                box.target_place[2] + z)] =
                    from[source.at(box.source_place[0] + x, box.source_place[1] + y,
                                   box.source_place[2] + z)];
            }
        }
    }
    return after;
}

enum class Way { kIn, kOut, kWithin, kHost };

/// Memory of the kind that one end of the copy has.
struct End {
    End(const Volume& volume, bool on_device, std::vector<unsigned char> content)
        : host(std::move(content)) {
        if (!on_device) return;
        device = allocate(volume.bytes());
        REQUIRE(cuMemcpyHtoD_v2(device, host.data(), host.size()) == CUDA_SUCCESS);
    }
    ~End() {
        if (device != 0) cuMemFree_v2(device);
    }
    std::vector<unsigned char> content() {
        if (device != 0) {
            REQUIRE(cuMemcpyDtoH_v2(host.data(), device, host.size()) == CUDA_SUCCESS);
        }
        return host;
    }
    std::vector<unsigned char> host;
    CUdeviceptr device = 0;
};

CUDA_MEMCPY3D describe(const End& target, const Volume& target_shape, const End& source,
                       const Volume& source_shape, const Box& box) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = source.device != 0 ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    copy.srcDevice = source.device;
    copy.srcHost = source.host.data();
    copy.srcPitch = source_shape.pitch;
    copy.srcHeight = source_shape.rows;
    copy.srcXInBytes = box.source_place[0];
    copy.srcY = box.source_place[1];
    copy.srcZ = box.source_place[2];
    copy.dstMemoryType = target.device != 0 ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    copy.dstDevice = target.device;
    copy.dstHost = const_cast<unsigned char*>(target.host.data());
    copy.dstPitch = target_shape.pitch;
    copy.dstHeight = target_shape.rows;
    copy.dstXInBytes = box.target_place[0];
    copy.dstY = box.target_place[1];
    copy.dstZ = box.target_place[2];
    copy.WidthInBytes = box.width;
    copy.Height = box.height;
    copy.Depth = box.depth;
    return copy;
}

void check_copy(Way way, const Volume& target_shape, const Volume& source_shape, const Box& box) {
    const auto source_bytes = numbered(source_shape.bytes(), 1);
    const auto target_bytes = numbered(target_shape.bytes(), 128);
    End source(source_shape, way == Way::kOut || way == Way::kWithin, source_bytes);
    End target(target_shape, way == Way::kIn || way == Way::kWithin, target_bytes);
    const CUDA_MEMCPY3D copy = describe(target, target_shape, source, source_shape, box);
    REQUIRE(cuMemcpy3D_v2(&copy) == CUDA_SUCCESS);
    const bool same =
        target.content() == expected(target_bytes, target_shape, source_bytes, source_shape, box);
    CHECK(same);
}

constexpr std::size_t kChunk = StagingChunk::kBytes;

}  // namespace

TEST_CASE("A box arrives where it belongs, and nothing else changes", "[box]") {
    Scene scene;
    for (const Way way : {Way::kIn, Way::kOut, Way::kWithin, Way::kHost}) {
        INFO("way " << static_cast<int>(way));
        // A corner, with pitches and heights of different size.
        check_copy(way, {64, 10, 4}, {80, 7, 5}, {33, 5, 3, {7, 1, 2}, {11, 3, 1}});
        // One row, one column, all of it.
        check_copy(way, {64, 3, 1}, {64, 3, 1}, {64, 1, 1, {0, 2, 0}, {0, 0, 0}});
        check_copy(way, {16, 40, 2}, {24, 40, 2}, {1, 40, 2, {23, 0, 0}, {15, 0, 0}});
        check_copy(way, {32, 8, 4}, {32, 8, 4}, {32, 8, 4, {0, 0, 0}, {0, 0, 0}});
    }
}

TEST_CASE("A box larger than its staging passes through it in parts", "[box]") {
    Scene scene;
    for (const Way way : {Way::kIn, Way::kOut}) {
        INFO("way " << static_cast<int>(way));
        // Rows that fill a chunk but for a rest; one row a chunk; rows longer than a chunk.
        check_copy(way, {1000, 1500, 2}, {1100, 1600, 2}, {999, 1400, 2, {3, 5, 0}, {1, 9, 0}});
        check_copy(way, {kChunk, 7, 1}, {kChunk + 8, 7, 1}, {kChunk, 6, 1, {8, 1, 0}, {0, 0, 0}});
        check_copy(way, {kChunk + 900, 3, 2}, {kChunk + 700, 3, 2},
                   {kChunk + 1, 3, 2, {5, 0, 0}, {9, 0, 0}});
    }
}

TEST_CASE("A copy of nothing is done, whatever it names", "[box]") {
    Scene scene;
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.Height = 4;
    copy.Depth = 4;
    CHECK(cuMemcpy3D_v2(&copy) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::copy_3d>() == 0);
    CHECK(cuMemcpy3D_v2(nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpy2D_v2(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("Without pitch and height rows and slices follow one another", "[box]") {
    Scene scene;
    const auto bytes = numbered(12 * 5 * 2, 0);
    const CUdeviceptr device = allocate(bytes.size());
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = bytes.data();
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = device;
    copy.WidthInBytes = 12;
    copy.Height = 5;
    copy.Depth = 2;
    REQUIRE(cuMemcpy3D_v2(&copy) == CUDA_SUCCESS);
    std::vector<unsigned char> back(bytes.size());
    REQUIRE(cuMemcpyDtoH_v2(back.data(), device, back.size()) == CUDA_SUCCESS);
    CHECK(back == bytes);
}

TEST_CASE("What reaches beyond its memory is refused, and so are sizes that wrap around", "[box]") {
    Scene scene;
    std::vector<unsigned char> host(1 << 16);
    const CUdeviceptr device = allocate(32 * 16);
    CUDA_MEMCPY2D fits{};
    fits.srcMemoryType = CU_MEMORYTYPE_HOST;
    fits.srcHost = host.data();
    fits.srcPitch = 32;
    fits.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    fits.dstDevice = device;
    fits.dstPitch = 32;
    fits.WidthInBytes = 32;
    fits.Height = 16;
    REQUIRE(cuMemcpy2D_v2(&fits) == CUDA_SUCCESS);
    constexpr std::size_t kHuge = ~std::size_t{0};
    const auto refused = [&](auto&& change) {
        CUDA_MEMCPY2D copy = fits;
        change(copy);
        return cuMemcpy2D_v2(&copy) == CUDA_ERROR_INVALID_VALUE;
    };
    CHECK(refused([](auto& copy) { copy.Height = 17; }));
    CHECK(refused([](auto& copy) { copy.dstY = 1; }));
    CHECK(refused([](auto& copy) { copy.dstPitch = 33; }));
    CHECK(refused([](auto& copy) { copy.dstDevice += 1; }));
    // Rows that overlap.
    CHECK(refused([](auto& copy) { copy.dstPitch = 31; }));
    CHECK(refused([](auto& copy) { copy.srcPitch = 31; }));
    CHECK(refused([](auto& copy) { copy.dstXInBytes = 1; }));
    CHECK(refused([](auto& copy) { copy.dstXInBytes = kHuge; }));
    CHECK(refused([](auto& copy) { copy.dstXInBytes = kHuge - 30; }));
    CHECK(refused([](auto& copy) { copy.dstY = kHuge; }));
    CHECK(refused([](auto& copy) { copy.dstY = kHuge / 32 + 1; }));
    CHECK(refused([](auto& copy) { copy.Height = kHuge / 32 + 2; }));
    CHECK(refused([](auto& copy) { copy.dstPitch = kHuge; }));
    CHECK(refused([](auto& copy) { copy.WidthInBytes = kHuge; }));
    CHECK(refused([](auto& copy) { copy.srcHost = nullptr; }));
    CHECK(refused([](auto& copy) { copy.dstDevice = 0; }));
    CHECK(refused([](auto& copy) { copy.srcMemoryType = static_cast<CUmemorytype>(0); }));
    // Not the memory that it is said to be.
    CHECK(refused([&](auto& copy) { copy.srcHost = reinterpret_cast<void*>(device); }));
    CHECK(
        refused([&](auto& copy) { copy.dstDevice = reinterpret_cast<CUdeviceptr>(host.data()); }));
    CUDA_MEMCPY2D array = fits;
    array.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    CHECK(cuMemcpy2D_v2(&array) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("A unified address is whatever it is", "[box]") {
    Scene scene;
    const auto bytes = numbered(32 * 4, 9);
    const CUdeviceptr device = allocate(bytes.size());
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.srcDevice = reinterpret_cast<CUdeviceptr>(bytes.data());
    copy.srcPitch = 32;
    copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.dstDevice = device;
    copy.dstPitch = 32;
    copy.WidthInBytes = 32;
    copy.Height = 4;
    REQUIRE(cuMemcpy2D_v2(&copy) == CUDA_SUCCESS);
    std::vector<unsigned char> back(bytes.size());
    REQUIRE(cuMemcpyDtoH_v2(back.data(), device, back.size()) == CUDA_SUCCESS);
    CHECK(back == bytes);
}

TEST_CASE("Between two places on the device a box is one record", "[box]") {
    Scene scene;
    check_copy(Way::kWithin, {4096, 300, 2}, {4096, 300, 2}, {4000, 300, 2, {0, 0, 0}, {96, 0, 0}});
    CHECK(scene.gpu.count<wire::copy_3d>() == 1);
}

}  // namespace cubar::guest::test
