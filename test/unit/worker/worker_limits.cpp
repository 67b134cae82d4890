// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

CUresult set(FakeSession& fake, ContextHandle context, CUlimit limit, std::uint64_t value) {
    wire::cuCtxSetLimit::Request request{};
    request.limit = limit;
    request.value = value;
    wire::cuCtxSetLimit::Reply reply{};
    return fake.call<wire::cuCtxSetLimit>(context, {}, request, reply);
}

}  // namespace

TEST_CASE("limits are charged for the memory that they take", "[limits]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    REQUIRE(set(fake, context, CU_LIMIT_MALLOC_HEAP_SIZE, 1001) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 1008);  // as the driver rounded it
    SECTION("and no longer once they are lower") {
        REQUIRE(set(fake, context, CU_LIMIT_MALLOC_HEAP_SIZE, 16) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 16);
    }
    SECTION("each for itself, the stack for every thread that the device holds") {
        REQUIRE(set(fake, context, CU_LIMIT_PRINTF_FIFO_SIZE, 32) == CUDA_SUCCESS);
        REQUIRE(set(fake, context, CU_LIMIT_STACK_SIZE, 48) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 1008 + 32 + 8 * 8 * 48);
    }
    SECTION("not where the driver refuses") {
        fake.driver.fail("cuCtxSetLimit", CUDA_ERROR_INVALID_VALUE);
        CHECK(set(fake, context, CU_LIMIT_MALLOC_HEAP_SIZE, 5000) == CUDA_ERROR_INVALID_VALUE);
        CHECK(fake.cubard.used() == 1008);
    }
    SECTION("until their context ends") {
        wire::cuCtxDestroy_v2::Reply destroyed{};
        REQUIRE(fake.call<wire::cuCtxDestroy_v2>({}, {}, {context}, destroyed) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
}

TEST_CASE("limits beyond the quota are not set", "[limits]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    CHECK(set(fake, context, CU_LIMIT_MALLOC_HEAP_SIZE, FakeSession::kQuota + 1) ==
          CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(set(fake, context, CU_LIMIT_STACK_SIZE, FakeSession::kQuota / 63) ==
          CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(set(fake, context, CU_LIMIT_STACK_SIZE, ~std::uint64_t{0}) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("cuCtxSetLimit") == 0);
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("limits that take no memory are the driver's alone", "[limits]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    CHECK(set(fake, context, CU_LIMIT_MAX_L2_FETCH_GRANULARITY, FakeSession::kQuota + 1) ==
          CUDA_SUCCESS);
    CHECK(fake.driver.count("cuCtxSetLimit") == 1);
    CHECK(fake.cubard.used() == 0);
}
