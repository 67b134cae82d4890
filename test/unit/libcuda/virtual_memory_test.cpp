// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fake_gpu.h"
#include "offers.h"

namespace cubar::guest::test {
namespace {

/// A reservation of four pages in which the second is mapped.
struct Mapped {
    Mapped() {
        scene.gpu.on<wire::cuMemAddressReserve>(
            [this](const auto&, wire::cuMemAddressReserve::Reply& reply) {
                reply.address = offers.next();
                return CUDA_SUCCESS;
            });
        for_all_to_succeed();
        REQUIRE(cuMemAddressReserve(&base, 4 * kOfferBytes, 0, 0, 0) == CUDA_SUCCESS);
        REQUIRE(cuMemMap(base + kOfferBytes, kOfferBytes, 0, 77, 0) == CUDA_SUCCESS);
        access.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
        access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    }
    ~Mapped() {
        scene.gpu.fail<wire::cuMemUnmap>(CUDA_SUCCESS);
        scene.gpu.fail<wire::cuMemAddressFree>(CUDA_SUCCESS);
        cuMemUnmap(base + kOfferBytes, kOfferBytes);
        cuMemAddressFree(base, 4 * kOfferBytes);
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;

    void for_all_to_succeed() {
        scene.gpu.fail<wire::cuMemAddressFree>(CUDA_SUCCESS);
        scene.gpu.fail<wire::cuMemMap>(CUDA_SUCCESS);
        scene.gpu.fail<wire::cuMemUnmap>(CUDA_SUCCESS);
        scene.gpu.fail<wire::cuMemSetAccess>(CUDA_SUCCESS);
    }
    bool mapped() const {
        unsigned is = 0;
        REQUIRE(cuPointerGetAttribute(&is, CU_POINTER_ATTRIBUTE_MAPPED, base + kOfferBytes) ==
                CUDA_SUCCESS);
        return is != 0;
    }

    Scene scene;
    Offers offers;
    CUdeviceptr base = 0;
    CUmemAccessDesc access{};
};

}  // namespace

TEST_CASE_METHOD(Mapped, "A reservation lies where the program has nothing, until it ends",
                 "[virtual memory]") {
    CHECK(base == offers.first + kOfferBytes);
    // What collided was given back.
    const auto freed = scene.gpu.sent<wire::cuMemAddressFree>();
    REQUIRE(freed.size() == 1);
    CHECK(freed[0].as<wire::cuMemAddressFree>().address == offers.first);
    CHECK(Offers::reserved(base + 3 * kOfferBytes));
    CHECK(cuMemAddressFree(base, kOfferBytes) == CUDA_ERROR_INVALID_VALUE);
    scene.gpu.fail<wire::cuMemAddressFree>(CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressFree(base, 4 * kOfferBytes) == CUDA_ERROR_INVALID_VALUE);
    CHECK(Offers::reserved(base));
    scene.gpu.fail<wire::cuMemAddressFree>(CUDA_SUCCESS);
    CHECK(cuMemAddressFree(base, 4 * kOfferBytes) == CUDA_SUCCESS);
    CHECK_FALSE(Offers::reserved(base));
    CHECK_FALSE(Offers::reserved(base + 3 * kOfferBytes));
}

TEST_CASE_METHOD(Mapped, "What the host refuses to unmap stays mapped", "[virtual memory]") {
    scene.gpu.fail<wire::cuMemUnmap>(CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemUnmap(base + kOfferBytes, kOfferBytes) == CUDA_ERROR_INVALID_VALUE);
    CHECK(mapped());
    scene.gpu.fail<wire::cuMemUnmap>(CUDA_SUCCESS);
    CHECK(cuMemUnmap(base + kOfferBytes, kOfferBytes) == CUDA_SUCCESS);
    CHECK_FALSE(mapped());
}

TEST_CASE_METHOD(Mapped, "Copies need access, and what is refused asks nobody",
                 "[virtual memory]") {
    unsigned word = 0;
    const CUdeviceptr memory = base + kOfferBytes;
    CHECK(cuMemcpyHtoD_v2(memory, &word, sizeof word) == CUDA_ERROR_INVALID_VALUE);
    scene.gpu.fail<wire::cuMemSetAccess>(CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuMemSetAccess(memory, kOfferBytes, &access, 1) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuMemsetD32Async(memory, 0, 1, nullptr) == CUDA_ERROR_INVALID_VALUE);
    const std::size_t asked = scene.gpu.count<wire::cuMemSetAccess>();
    CHECK(cuMemSetAccess(base, 2 * kOfferBytes, &access, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemSetAccess(memory, kOfferBytes / 2, &access, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(scene.gpu.count<wire::cuMemSetAccess>() == asked);
    scene.gpu.fail<wire::cuMemSetAccess>(CUDA_SUCCESS);
    CHECK(cuMemSetAccess(memory, kOfferBytes, &access, 1) == CUDA_SUCCESS);
    CHECK(cuMemsetD32Async(memory, 0, 1, nullptr) == CUDA_SUCCESS);
    // Nor does a copy from a reservation's hole pass for one from the program's own memory.
    CHECK(cuMemcpy(memory, base, 4) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFree_v2(memory) == CUDA_ERROR_INVALID_VALUE);
}

}  // namespace cubar::guest::test
