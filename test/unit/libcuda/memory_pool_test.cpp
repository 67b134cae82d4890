// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fake_gpu.h"
#include "offers.h"

namespace cubar::guest::test {
namespace {

struct Pooled {
    Pooled() {
        scene.gpu.on<wire::cuMemAllocAsync>(
            [this](const auto&, wire::cuMemAllocAsync::Reply& reply) {
                reply.address = offers.next();
                reply.pool = MemoryPoolHandle(1, 5);
                return CUDA_SUCCESS;
            });
        answer_waits(0);
    }
    void answer_waits(std::uint32_t again) {
        scene.gpu.on<wire::pool_observe>([again](const auto&, wire::pool_observe::Reply& reply) {
            reply.again = again;
            return CUDA_SUCCESS;
        });
    }

    Scene scene;
    Offers offers;
    CUstream stream = make_stream();
};

}  // namespace

TEST_CASE_METHOD(Pooled, "A pool's memory never lies where the program has memory of its own",
                 "[pool]") {
    CUdeviceptr memory = 0;
    REQUIRE(cuMemAllocAsync(&memory, 1000, stream) == CUDA_SUCCESS);
    CHECK(memory == offers.first + kOfferBytes);
    CHECK(Offers::reserved(memory));
    // What collided was given back: a record that nobody has waited for yet.
    REQUIRE(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    const auto freed = scene.gpu.sent<wire::cuMemFreeAsync>();
    REQUIRE(freed.size() == 1);
    CHECK(freed[0].as<wire::cuMemFreeAsync>().address == offers.first);
    CHECK(freed[0].header.stream == reinterpret_cast<std::uint64_t>(stream));
    CUmemoryPool pool = nullptr;
    CHECK(cuPointerGetAttribute(&pool, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, memory + 999) ==
          CUDA_SUCCESS);
    CHECK(reinterpret_cast<std::uint64_t>(pool) == MemoryPoolHandle(1, 5).bits());
    REQUIRE(cuMemFreeAsync(memory, stream) == CUDA_SUCCESS);
    CHECK(cuMemFreeAsync(memory, stream) == CUDA_ERROR_INVALID_VALUE);
    CHECK_FALSE(Offers::reserved(memory));
}

TEST_CASE_METHOD(Pooled, "The host is told of a wait after a free, until nothing is left to tell",
                 "[pool]") {
    // Of what other tests freed before, too.
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    const std::size_t before = scene.gpu.count<wire::pool_observe>();
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::pool_observe>() == before);
    CUdeviceptr memory = 0;
    REQUIRE(cuMemAllocAsync(&memory, 1000, stream) == CUDA_SUCCESS);
    REQUIRE(cuMemFreeAsync(memory, stream) == CUDA_SUCCESS);
    answer_waits(1);
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    answer_waits(0);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    const auto told = scene.gpu.sent<wire::pool_observe>();
    REQUIRE(told.size() == before + 2);
    CHECK(told[before].as<wire::pool_observe>().stream.bits() ==
          reinterpret_cast<std::uint64_t>(stream));
    CHECK(told[before].as<wire::pool_observe>().whole_context == 0);
    CHECK(told[before + 1].as<wire::pool_observe>().whole_context == 1);
}

}  // namespace cubar::guest::test
