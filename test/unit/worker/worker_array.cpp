// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

constexpr std::uint64_t kWidth = 256;

wire::cuArray3DCreate_v2::Request shape(std::uint64_t width, std::uint64_t height,
                                        std::uint64_t depth, std::uint32_t format,
                                        std::uint32_t channels) {
    wire::cuArray3DCreate_v2::Request request{};
    request.width = width;
    request.height = height;
    request.depth = depth;
    request.format = format;
    request.channels = channels;
    return request;
}

CUresult create(FakeSession& fake, ContextHandle context,
                const wire::cuArray3DCreate_v2::Request& request, ArrayHandle& array) {
    wire::cuArray3DCreate_v2::Reply reply{};
    const CUresult result = fake.call<wire::cuArray3DCreate_v2>(context, {}, request, reply);
    array = reply.array;
    return result;
}

CUresult destroy(FakeSession& fake, ArrayHandle array) {
    wire::cuArrayDestroy::Reply reply{};
    return fake.call<wire::cuArrayDestroy>({}, {}, {array}, reply);
}

CUresult destroy(FakeSession& fake, MipmappedArrayHandle array) {
    wire::cuMipmappedArrayDestroy::Reply reply{};
    return fake.call<wire::cuMipmappedArrayDestroy>({}, {}, {array}, reply);
}

MipmappedArrayHandle create_mipmapped(FakeSession& fake, ContextHandle context) {
    wire::cuMipmappedArrayCreate::Request request{};
    request.width = kWidth;
    request.format = CU_AD_FORMAT_FLOAT;
    request.channels = 1;
    request.levels = 3;
    wire::cuMipmappedArrayCreate::Reply made{};
    REQUIRE(fake.call<wire::cuMipmappedArrayCreate>(context, {}, request, made) == CUDA_SUCCESS);
    return made.mipmapped_array;
}

CUresult level_of(FakeSession& fake, ContextHandle context, MipmappedArrayHandle whole,
                  ArrayHandle& level) {
    wire::cuMipmappedArrayGetLevel::Request request{};
    request.mipmapped_array = whole;
    request.level = 1;
    wire::cuMipmappedArrayGetLevel::Reply reply{};
    const CUresult result = fake.call<wire::cuMipmappedArrayGetLevel>(context, {}, request, reply);
    level = reply.array;
    return result;
}

}  // namespace

TEST_CASE("an array is charged by its elements until it is destroyed", "[array]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    ArrayHandle array;
    SECTION("rows") {
        REQUIRE(create(fake, context, shape(kWidth, 0, 0, CU_AD_FORMAT_HALF, 4), array) ==
                CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kWidth * 2 * 4);
    }
    SECTION("boxes") {
        REQUIRE(create(fake, context, shape(kWidth, 3, 5, CU_AD_FORMAT_UNSIGNED_INT8, 1), array) ==
                CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kWidth * 3 * 5);
    }
    SECTION("a format that the worker does not know counts as the largest channel") {
        REQUIRE(create(fake, context, shape(kWidth, 0, 0, ~0u, 1), array) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kWidth * 4);
    }
    SECTION("no channels count as one") {
        REQUIRE(create(fake, context, shape(kWidth, 0, 0, CU_AD_FORMAT_FLOAT, 0), array) ==
                CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kWidth * 4);
    }
    const std::uint64_t charged = fake.cubard.used();
    fake.driver.fail("cuArrayDestroy", CUDA_ERROR_ARRAY_IS_MAPPED);
    CHECK(destroy(fake, array) == CUDA_ERROR_ARRAY_IS_MAPPED);
    CHECK(fake.cubard.used() == charged);
    CHECK(destroy(fake, ArrayHandle{}) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("a destroyed array is credited once", "[array]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    ArrayHandle array;
    REQUIRE(create(fake, context, shape(kWidth, 0, 0, CU_AD_FORMAT_FLOAT, 1), array) ==
            CUDA_SUCCESS);
    SECTION("by itself") {
        CHECK(destroy(fake, array) == CUDA_SUCCESS);
        CHECK(destroy(fake, array) == CUDA_ERROR_INVALID_HANDLE);
        CHECK(fake.driver.count("cuArrayDestroy") == 1);
    }
    SECTION("with its context") {
        wire::cuCtxDestroy_v2::Reply destroyed{};
        CHECK(fake.call<wire::cuCtxDestroy_v2>({}, {}, {context}, destroyed) == CUDA_SUCCESS);
        CHECK(destroy(fake, array) == CUDA_ERROR_INVALID_HANDLE);
        CHECK(fake.driver.count("cuArrayDestroy") == 0);
    }
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("an array beyond the quota is not made", "[array]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    ArrayHandle array;
    CHECK(create(fake, context, shape(FakeSession::kQuota, 2, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1),
                 array) == CUDA_ERROR_OUT_OF_MEMORY);
    // Sizes whose product has more than 64 bits.
    constexpr std::uint64_t kHuge = std::uint64_t{1} << 32;
    CHECK(create(fake, context, shape(kHuge, kHuge, 0, CU_AD_FORMAT_FLOAT, 1), array) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(create(fake, context, shape(~std::uint64_t{0}, 0, 0, CU_AD_FORMAT_FLOAT, ~0u), array) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.driver.count("cuArray3DCreate") == 0);
    SECTION("nor is what the driver refuses charged") {
        fake.driver.fail("cuArray3DCreate", CUDA_ERROR_OUT_OF_MEMORY);
        CHECK(create(fake, context, shape(kWidth, 0, 0, CU_AD_FORMAT_FLOAT, 1), array) ==
              CUDA_ERROR_OUT_OF_MEMORY);
    }
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("levels live and die with their mipmapped array", "[array]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    const MipmappedArrayHandle whole = create_mipmapped(fake, context);
    CHECK(fake.cubard.used() == 2 * kWidth * 4);
    ArrayHandle level;
    REQUIRE(level_of(fake, context, whole, level) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 2 * kWidth * 4);
    CHECK(destroy(fake, level) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(destroy(fake, whole) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 0);

    // Neither is a handle any more, and the driver hears nothing of them.
    CHECK(level_of(fake, context, whole, level) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(destroy(fake, whole) == CUDA_ERROR_INVALID_HANDLE);
    wire::cuSurfObjectCreate::Request request{};
    request.array = level;
    wire::cuSurfObjectCreate::Reply made{};
    CHECK(fake.call<wire::cuSurfObjectCreate>(context, {}, request, made) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(fake.driver.count("cuSurfObjectCreate") == 0);
}
