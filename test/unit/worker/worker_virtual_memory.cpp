// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

constexpr std::uint64_t kBytes = FakeSession::kQuota / 2;
constexpr std::uint64_t kAddress = 0x7d0000000000;

template <typename W>
CUresult ask(FakeSession& fake, const typename W::Request& request, typename W::Reply& reply) {
    return fake.call<W>({}, {}, request, reply);
}

template <typename W>
CUresult ask(FakeSession& fake, const typename W::Request& request) {
    typename W::Reply reply{};
    return ask<W>(fake, request, reply);
}

MemoryHandle create(FakeSession& fake) {
    wire::cuMemCreate::Request request{};
    request.bytes = kBytes;
    wire::cuMemCreate::Reply made{};
    REQUIRE(ask<wire::cuMemCreate>(fake, request, made) == CUDA_SUCCESS);
    return made.memory;
}

CUresult map(FakeSession& fake, MemoryHandle memory, std::uint64_t address) {
    return ask<wire::cuMemMap>(fake, {address, kBytes, 0, memory});
}

}  // namespace

TEST_CASE("physical memory is charged until its last handle and mapping", "[virtual_memory]") {
    FakeSession fake;
    const MemoryHandle memory = create(fake);
    CHECK(fake.cubard.used() == kBytes);
    REQUIRE(map(fake, memory, kAddress) == CUDA_SUCCESS);
    REQUIRE(map(fake, memory, kAddress + kBytes) == CUDA_SUCCESS);
    REQUIRE(ask<wire::cuMemRelease>(fake, {memory}) == CUDA_SUCCESS);
    CHECK(ask<wire::cuMemRelease>(fake, {memory}) == CUDA_ERROR_INVALID_VALUE);
    CHECK(map(fake, memory, kAddress + 2 * kBytes) == CUDA_ERROR_INVALID_VALUE);
    CHECK(fake.cubard.used() == kBytes);
    SECTION("by both mappings at once") {
        REQUIRE(ask<wire::cuMemUnmap>(fake, {kAddress, 2 * kBytes}) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
    SECTION("by a handle that was asked for again") {
        wire::cuMemRetainAllocationHandle::Reply again{};
        REQUIRE(ask<wire::cuMemRetainAllocationHandle>(fake, {kAddress + kBytes + 5}, again) ==
                CUDA_SUCCESS);
        CHECK(again.memory == memory);
        REQUIRE(ask<wire::cuMemUnmap>(fake, {kAddress, 2 * kBytes}) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == kBytes);
        REQUIRE(ask<wire::cuMemRelease>(fake, {memory}) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 0);
    }
    SECTION("not by what the driver refuses to unmap") {
        fake.driver.fail("cuMemUnmap", CUDA_ERROR_INVALID_VALUE);
        CHECK(ask<wire::cuMemUnmap>(fake, {kAddress, 2 * kBytes}) == CUDA_ERROR_INVALID_VALUE);
        CHECK(fake.cubard.used() == kBytes);
    }
}

TEST_CASE("physical memory beyond the quota is not made", "[virtual_memory]") {
    FakeSession fake;
    wire::cuMemCreate::Request request{};
    request.bytes = FakeSession::kQuota + 1;
    CHECK(ask<wire::cuMemCreate>(fake, request) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("cuMemCreate") == 0);
    fake.driver.fail("cuMemCreate", CUDA_ERROR_OUT_OF_MEMORY);
    request.bytes = kBytes;
    CHECK(ask<wire::cuMemCreate>(fake, request) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.cubard.used() == 0);
}
