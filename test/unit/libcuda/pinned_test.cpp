// SPDX-License-Identifier: Apache-2.0
// Page-locked and managed memory, which lies in the arena, and what becomes of its granules.
#include <catch2/catch.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "fake_gpu.h"

namespace cubar::guest::test {
namespace {

void* pin(std::size_t bytes, unsigned flags = 0) {
    void* memory = nullptr;
    REQUIRE(cuMemHostAlloc(&memory, bytes, flags) == CUDA_SUCCESS);
    return memory;
}

/// Granules that this process keeps for staging, whatever else it gives back.
std::size_t kept_granules() {
    FakeGpu& gpu = FakeGpu::the();
    cuMemFreeHost(pin(1));
    return gpu.granules();
}

}  // namespace

TEST_CASE("Pinned memory is written by the program and read by the GPU where it lies", "[pinned]") {
    Scene scene;
    auto* memory = static_cast<unsigned char*>(pin(100'000));
    std::iota(memory, memory + 100'000, static_cast<unsigned char>(0));
    const CUdeviceptr device = allocate(100'000);
    scene.gpu.on<wire::cuMemcpyAsync>(
        [&](const wire::cuMemcpyAsync::Request& copy, wire::cuMemcpyAsync::Reply&) {
            std::memcpy(scene.gpu.memory(copy.dst, copy.ByteCount),
                        reinterpret_cast<void*>(copy.src), copy.ByteCount);
            return CUDA_SUCCESS;
        });
    REQUIRE(cuMemcpyHtoD_v2(device, memory, 100'000) == CUDA_SUCCESS);
    // Nothing passed through staging.
    CHECK(scene.gpu.count<wire::cuMemcpyAsync>() == 1);
    CHECK(scene.gpu.count<wire::copy_in>() == 0);
    CHECK(std::memcmp(scene.gpu.memory(device, 100'000), memory, 100'000) == 0);
    REQUIRE(cuMemFreeHost(memory) == CUDA_SUCCESS);
}

TEST_CASE("Granules go back to the host with what lay in them", "[pinned]") {
    Scene scene;
    const std::size_t kept = kept_granules();
    void* const large = pin(3 * kGranuleBytes);
    CHECK(scene.gpu.granules() == kept + 3);
    void* const small = pin(1000);
    void* const other = pin(1000);
    CHECK(scene.gpu.granules() == kept + 4);
    REQUIRE(cuMemFreeHost(large) == CUDA_SUCCESS);
    CHECK(scene.gpu.granules() == kept + 1);
    REQUIRE(cuMemFreeHost(small) == CUDA_SUCCESS);
    CHECK(scene.gpu.granules() == kept + 1);
    REQUIRE(cuMemFreeHost(other) == CUDA_SUCCESS);
    CHECK(scene.gpu.granules() == kept);
}

TEST_CASE("A context that is destroyed leaves nothing in the arena", "[pinned]") {
    Scene scene;
    const std::size_t kept = kept_granules();
    CUcontext context = nullptr;
    REQUIRE(cuCtxCreate_v2(&context, 0, 0) == CUDA_SUCCESS);
    CUdeviceptr managed = 0;
    pin(5 * kGranuleBytes);
    pin(100);
    REQUIRE(cuMemAllocManaged(&managed, 100, CU_MEM_ATTACH_GLOBAL) == CUDA_SUCCESS);
    allocate(100);
    CHECK(scene.gpu.granules() > kept + 5);
    REQUIRE(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
    CHECK(scene.gpu.granules() == kept);
}

TEST_CASE("An arena that is full is an error, and copies go on", "[pinned]") {
    Scene scene;
    std::vector<void*> all;
    void* memory = nullptr;
    while (cuMemHostAlloc(&memory, kGranuleBytes, 0) == CUDA_SUCCESS) all.push_back(memory);
    CHECK(all.size() > FakeGpu::kArenaGranules / 2);
    CHECK(cuMemHostAlloc(&memory, kGranuleBytes, 0) == CUDA_ERROR_OUT_OF_MEMORY);
    std::vector<unsigned char> bytes(3'000'000, 7);
    const CUdeviceptr device = allocate(bytes.size());
    REQUIRE(cuMemcpyHtoD_v2(device, bytes.data(), bytes.size()) == CUDA_SUCCESS);
    std::fill(bytes.begin(), bytes.end(), static_cast<unsigned char>(0));
    REQUIRE(cuMemcpyDtoH_v2(bytes.data(), device, bytes.size()) == CUDA_SUCCESS);
    CHECK(std::count(bytes.begin(), bytes.end(), 7) == 3'000'000);
    for (void* one : all) REQUIRE(cuMemFreeHost(one) == CUDA_SUCCESS);
    void* const again = pin(kGranuleBytes);
    REQUIRE(cuMemFreeHost(again) == CUDA_SUCCESS);
}

TEST_CASE("Whose lease another thread takes asks for one more", "[pinned]") {
    Scene scene;
    kept_granules();
    // The first lease is gone when its turn comes: here, because it is too small.
    std::uint64_t next = FakeGpu::kArenaGranules - 4;
    std::uint64_t granules = 1;
    scene.gpu.on<wire::arena_lease>(
        [&](const wire::arena_lease::Request&, wire::arena_lease::Reply& reply) {
            reply.offset = next * kGranuleBytes;
            reply.bytes = granules * kGranuleBytes;
            next += granules++;
            return CUDA_SUCCESS;
        });
    void* const memory = pin(2 * kGranuleBytes);
    CHECK(scene.gpu.count<wire::arena_lease>() >= 2);
    REQUIRE(cuMemFreeHost(memory) == CUDA_SUCCESS);
}

TEST_CASE("Threads lease and return granules at once", "[pinned]") {
    Scene scene;
    pin(1);
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int number = 0; number < 4; ++number) {
        threads.emplace_back([&] {
            REQUIRE(cuCtxSetCurrent(scene.context) == CUDA_SUCCESS);
            for (int round = 0; round < 200; ++round) {
                // One at most fits into a granule, so each needs a lease, and gives it back.
                void* memory = nullptr;
                if (cuMemHostAlloc(&memory, kGranuleBytes / 2 + 1, 0) != CUDA_SUCCESS) {
                    ++failed;
                } else if (cuMemFreeHost(memory) != CUDA_SUCCESS) {
                    ++failed;
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(failed == 0);
}

TEST_CASE("Memory is freed by its own function, once, after the work that may use it", "[pinned]") {
    Scene scene;
    void* const pinned = pin(100);
    CUdeviceptr managed = 0;
    REQUIRE(cuMemAllocManaged(&managed, 100, CU_MEM_ATTACH_GLOBAL) == CUDA_SUCCESS);
    std::vector<char> own(100);
    CHECK(cuMemFree_v2(reinterpret_cast<CUdeviceptr>(pinned)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFreeHost(reinterpret_cast<void*>(managed)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFreeHost(static_cast<char*>(pinned) + 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFreeHost(own.data()) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostUnregister(pinned) == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    CHECK(cuMemFreeHost(nullptr) == CUDA_SUCCESS);

    scene.gpu.complete_at_once(false);
    REQUIRE(cuMemsetD8Async(managed, 1, 100, nullptr) == CUDA_SUCCESS);
    REQUIRE(cuMemFreeHost(pinned) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 1);
    CHECK(cuMemFreeHost(pinned) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("Registering takes memory that is there, once, and maps nothing", "[pinned]") {
    Scene scene;
    std::vector<char> own(10'000);
    CHECK(cuMemHostRegister_v2(own.data(), own.size(), 0) == CUDA_SUCCESS);
    CHECK(cuMemHostRegister_v2(own.data(), own.size(), 0) ==
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    CHECK(cuMemHostRegister_v2(own.data() + 9'999, 1, 0) ==
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    CHECK(cuMemHostUnregister(own.data() + 1) == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    CUdeviceptr device = 0;
    CHECK(cuMemHostGetDevicePointer_v2(&device, own.data(), 0) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuMemHostUnregister(own.data()) == CUDA_SUCCESS);
    CHECK(cuMemHostUnregister(own.data()) == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);

    CHECK(cuMemHostRegister_v2(own.data(), own.size(), CU_MEMHOSTREGISTER_DEVICEMAP) ==
          CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuMemHostRegister_v2(own.data(), own.size(), 0x100) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostRegister_v2(nullptr, 1, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostRegister_v2(own.data(), 0, 0) == CUDA_ERROR_INVALID_VALUE);
    // More than there is.
    CHECK(cuMemHostRegister_v2(own.data(), ~std::size_t{0}, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostRegister_v2(own.data(), std::size_t{1} << 46, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostRegister_v2(reinterpret_cast<void*>(16), 16, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("Flags of pinned memory are told, and unknown ones refused", "[pinned]") {
    Scene scene;
    void* const memory = pin(100, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_WRITECOMBINED);
    unsigned flags = 0;
    CHECK(cuMemHostGetFlags(&flags, memory) == CUDA_SUCCESS);
    CHECK((flags & CU_MEMHOSTALLOC_PORTABLE) != 0);
    CHECK((flags & CU_MEMHOSTALLOC_WRITECOMBINED) != 0);
    CHECK((flags & CU_MEMHOSTALLOC_DEVICEMAP) != 0);
    CUdeviceptr device = 0;
    CHECK(cuMemHostGetDevicePointer_v2(&device, static_cast<char*>(memory) + 5, 0) == CUDA_SUCCESS);
    CHECK(device == reinterpret_cast<CUdeviceptr>(memory) + 5);
    CHECK(cuMemHostGetDevicePointer_v2(&device, memory, 1) == CUDA_ERROR_INVALID_VALUE);
    void* none = nullptr;
    CHECK(cuMemHostAlloc(&none, 100, 0x80) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostAlloc(&none, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemHostAlloc(nullptr, 100, 0) == CUDA_ERROR_INVALID_VALUE);
    CUdeviceptr managed = 0;
    CHECK(cuMemAllocManaged(&managed, 100, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAllocManaged(&managed, 0, CU_MEM_ATTACH_GLOBAL) == CUDA_ERROR_INVALID_VALUE);
    REQUIRE(cuMemFreeHost(memory) == CUDA_SUCCESS);
}

}  // namespace cubar::guest::test
