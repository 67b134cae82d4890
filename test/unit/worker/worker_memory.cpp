// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

TEST_CASE("memory is charged before it is allocated, and credited when it is freed", "[memory]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    wire::cuMemAlloc_v2::Request request{};
    request.bytes = 1000;
    wire::cuMemAlloc_v2::Reply made{};
    REQUIRE(fake.call<wire::cuMemAlloc_v2>(context, {}, request, made) == CUDA_SUCCESS);
    CHECK(made.bytes == 4096);
    CHECK(fake.cubard.used() == 1024);
    wire::cuMemGetInfo_v2::Reply info{};
    REQUIRE(fake.call<wire::cuMemGetInfo_v2>(context, {}, {}, info) == CUDA_SUCCESS);
    CHECK(info.total == FakeSession::kQuota);
    CHECK(info.free == FakeSession::kQuota - 1024);

    wire::cuMemFree_v2::Request release{};
    release.address = made.address;
    wire::cuMemFree_v2::Reply freed{};
    SECTION("one that the driver refuses stays charged") {
        fake.driver.fail("cuMemFree", CUDA_ERROR_INVALID_VALUE);
        CHECK(fake.call<wire::cuMemFree_v2>(context, {}, release, freed) ==
              CUDA_ERROR_INVALID_VALUE);
        CHECK(fake.cubard.used() == 1024);
    }
    SECTION("freed") {
        CHECK(fake.call<wire::cuMemFree_v2>(context, {}, release, freed) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
    SECTION("with its context") {
        wire::cuCtxDestroy_v2::Request destroy{};
        destroy.context = context;
        wire::cuCtxDestroy_v2::Reply destroyed{};
        CHECK(fake.call<wire::cuCtxDestroy_v2>({}, {}, destroy, destroyed) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
}

TEST_CASE("what the ledger refuses is not allocated", "[memory]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    wire::cuMemAlloc_v2::Request request{};
    wire::cuMemAlloc_v2::Reply made{};
    for (const std::uint64_t bytes : {FakeSession::kQuota + 1, ~std::uint64_t{0}}) {
        request.bytes = bytes;
        CHECK(fake.call<wire::cuMemAlloc_v2>(context, {}, request, made) ==
              CUDA_ERROR_OUT_OF_MEMORY);
    }
    CHECK(fake.driver.count("cuMemAlloc") == 0);
    SECTION("nor is what the driver refuses charged") {
        fake.driver.fail("cuMemAlloc", CUDA_ERROR_OUT_OF_MEMORY);
        request.bytes = 1000;
        CHECK(fake.call<wire::cuMemAlloc_v2>(context, {}, request, made) ==
              CUDA_ERROR_OUT_OF_MEMORY);
        CHECK(fake.cubard.used() == 0);
    }
}

TEST_CASE("copies reach leased granules only, and tell by their fence", "[memory]") {
    FakeSession fake;
    const ContextHandle context = fake.make_context();
    wire::arena_lease::Request lease{};
    lease.bytes = kGranuleBytes;
    wire::arena_lease::Reply leased{};
    REQUIRE(fake.call<wire::arena_lease>(context, {}, lease, leased) == CUDA_SUCCESS);
    wire::copy_in::Request copy{};
    copy.source = leased.offset + kGranuleBytes - 100;
    copy.bytes = 100;
    copy.fence = kStreamFences;
    SECTION("by the GPU") {
        fake.await_fence(kStreamFences, fake.post<wire::copy_in>(context, {}, copy));
        CHECK(fake.driver.count("cuMemcpyHtoDAsync 100") == 1);
        CHECK(fake.driver.count("cuStreamSynchronize") == 0);
    }
    SECTION("by the CPU where the GPU cannot") {
        fake.driver.fail("cuStreamWriteValue64", CUDA_ERROR_NOT_SUPPORTED);
        fake.await_fence(kStreamFences, fake.post<wire::copy_in>(context, {}, copy));
        CHECK(fake.driver.count("cuStreamSynchronize") == 1);
    }
    SECTION("past the end, or with a stream's fence") {
        copy.bytes = 101;
        fake.post<wire::copy_in>(context, {}, copy);
        copy.bytes = ~std::uint64_t{0};
        fake.post<wire::copy_in>(context, {}, copy);
        wire::cuStreamQuery::Reply queried{};
        CHECK(fake.call<wire::cuStreamQuery>(context, {}, {}, queried) == CUDA_SUCCESS);
        CHECK(fake.driver.count("cuMemcpyHtoDAsync 101") == 0);
        CHECK(fake.control().error_code.load() == CUDA_ERROR_INVALID_VALUE);
        CHECK(fake.channel().fence[kStreamFences].load() == 0);
    }
}
