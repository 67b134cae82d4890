// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

// A pool grows by whole pages of the GPU.
constexpr std::uint64_t kPage = std::uint64_t{2} << 20;

struct Pools : FakeSession {
    Pools() : FakeSession(8 * kPage), context(make_context()) {}

    CUresult allocate(std::uint64_t bytes) {
        wire::cuMemAllocAsync::Request request{};
        request.bytes = bytes;
        return call<wire::cuMemAllocAsync>(context, {}, request, made);
    }
    void free() {
        wire::cuMemFreeAsync::Request request{};
        request.address = made.address;
        post<wire::cuMemFreeAsync>(context, {}, request);
    }
    std::uint32_t observe() {
        wire::pool_observe::Reply reply{};
        REQUIRE(call<wire::pool_observe>(context, {}, {}, reply) == CUDA_SUCCESS);
        return reply.again;
    }

    const ContextHandle context;
    wire::cuMemAllocAsync::Reply made{};
};

}  // namespace

TEST_CASE("a pool is charged for what it reserves, used or not", "[pool]") {
    Pools fake;
    REQUIRE(fake.allocate(3 * kPage) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 3 * kPage);
    fake.free();
    SECTION("until it has given that back") {
        CHECK(fake.observe() == 0);
        CHECK(fake.cubard.used() == 3 * kPage);
        fake.driver.pool.reserved = 0;
        CHECK(fake.observe() == 0);
        CHECK(fake.cubard.used() == 0);
    }
    SECTION("and gives it up where the quota is needed") {
        CHECK(fake.observe() == 0);
        wire::cuMemAlloc_v2::Request request{};
        request.bytes = 7 * kPage;
        wire::cuMemAlloc_v2::Reply plain{};
        CHECK(fake.call<wire::cuMemAlloc_v2>(fake.context, {}, request, plain) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 7 * kPage);
    }
    SECTION("or uses it again without asking") {
        CHECK(fake.observe() == 0);
        REQUIRE(fake.allocate(2 * kPage) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 3 * kPage);
    }
}

TEST_CASE("a pool that grows beyond the quota gives back what it took", "[pool]") {
    Pools fake;
    CHECK(fake.allocate(9 * kPage) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("cuMemAllocFromPoolAsync") == 0);
    fake.driver.pool.growth = 4;
    CHECK(fake.allocate(3 * kPage) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("cuMemFreeAsync") == 1);
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("frees that nobody has waited for are told of", "[pool]") {
    Pools fake;
    const auto stream = fake.make_stream(fake.context);
    REQUIRE(fake.allocate(kPage) == CUDA_SUCCESS);
    wire::cuMemFreeAsync::Request request{};
    request.address = fake.made.address;
    fake.post<wire::cuMemFreeAsync>(fake.context, stream.stream, request);
    CHECK(fake.observe() == 1);
    wire::pool_observe::Request whole{};
    SECTION("until the context is waited for") {
        whole.whole_context = 1;
    }
    SECTION("or the stream is") {
        whole.stream = stream.stream;
    }
    wire::pool_observe::Reply reply{};
    REQUIRE(fake.call<wire::pool_observe>(fake.context, {}, whole, reply) == CUDA_SUCCESS);
    CHECK(reply.again == 0);
}
