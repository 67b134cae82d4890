// SPDX-License-Identifier: Apache-2.0
#include "fake_session.h"
#include "host/worker/probe.h"

using namespace cubar;
using namespace cubar::host::test;

namespace {

constexpr std::uint64_t kContextBytes = 1000;

CUresult create(FakeSession& fake, ContextHandle& context) {
    wire::cuCtxCreate_v2::Reply reply{};
    const CUresult result = fake.call<wire::cuCtxCreate_v2>({}, {}, {}, reply);
    context = reply.context;
    return result;
}

CUresult destroy(FakeSession& fake, ContextHandle context) {
    wire::cuCtxDestroy_v2::Reply reply{};
    return fake.call<wire::cuCtxDestroy_v2>({}, {}, {context}, reply);
}

/// Free memory of the driver that measure_context asks: by each context less, and by a neighbour's
/// allocation in between.
std::uint64_t free_bytes = 0;
std::uint64_t neighbour_bytes = 0;

}  // namespace

TEST_CASE("a context is charged for what it takes for itself", "[context]") {
    FakeSession fake(2 * kContextBytes + 1, true, kContextBytes);
    ContextHandle first;
    ContextHandle second;
    ContextHandle third;
    REQUIRE(create(fake, first) == CUDA_SUCCESS);
    REQUIRE(create(fake, second) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 2 * kContextBytes);
    CHECK(create(fake, third) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.driver.count("cuCtxCreate") == 2);
    REQUIRE(destroy(fake, first) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == kContextBytes);
    CHECK(create(fake, third) == CUDA_SUCCESS);
}

TEST_CASE("a context that the driver does not make is charged for nothing", "[context]") {
    FakeSession fake(FakeSession::kQuota, true, kContextBytes);
    fake.driver.fail("cuCtxCreate", CUDA_ERROR_INVALID_DEVICE);
    ContextHandle context;
    CHECK(create(fake, context) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(fake.cubard.used() == 0);
}

TEST_CASE("what a context takes is the least that was seen", "[context]") {
    FakeDriver fake;
    free_bytes = 1 << 20;
    neighbour_bytes = 5000;
    host::Driver driver = fake.table;
    driver.cuDevicePrimaryCtxRetain = [](CUcontext*, CUdevice) { return CUDA_SUCCESS; };
    driver.cuDevicePrimaryCtxRelease_v2 = [](CUdevice) { return CUDA_SUCCESS; };
    driver.cuCtxCreate_v2 = [](CUcontext*, unsigned, CUdevice) {
        free_bytes -= kContextBytes + std::exchange(neighbour_bytes, 0);
        return CUDA_SUCCESS;
    };
    driver.cuCtxDestroy_v2 = [](CUcontext) {
        free_bytes += kContextBytes;
        return CUDA_SUCCESS;
    };
    driver.cuMemGetInfo_v2 = [](std::size_t* free, std::size_t* total) {
        *free = *total = free_bytes;
        return CUDA_SUCCESS;
    };
    CHECK(host::measure_context(driver, 0) == kContextBytes);
    // Where a device takes one context only, or nothing can be asked.
    driver.cuCtxCreate_v2 = [](CUcontext*, unsigned, CUdevice) {
        return CUDA_ERROR_INVALID_DEVICE;
    };
    CHECK(host::measure_context(driver, 0) == 0);
    driver.cuMemGetInfo_v2 = nullptr;
    CHECK(host::measure_context(driver, 0) == 0);
}
