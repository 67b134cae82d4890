// SPDX-License-Identifier: Apache-2.0
// Device memory, its addresses, and what a program may ask about a pointer.
#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "fake_gpu.h"
#include "libcuda/own_memory.h"

namespace cubar::guest::test {
namespace {

template <typename Value>
CUresult ask(CUpointer_attribute attribute, CUdeviceptr pointer, Value& value) {
    return cuPointerGetAttribute(&value, attribute, pointer);
}

unsigned memory_type(CUdeviceptr pointer) {
    unsigned type = 0;
    return ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer, type) == CUDA_SUCCESS ? type : 0;
}

unsigned long long buffer_id(CUdeviceptr pointer) {
    unsigned long long id = 0;
    return ask(CU_POINTER_ATTRIBUTE_BUFFER_ID, pointer, id) == CUDA_SUCCESS ? id : 0;
}

CUdeviceptr address_of(const void* host) {
    return reinterpret_cast<CUdeviceptr>(host);
}

bool reserved(CUdeviceptr address) {
    return is_mapped({reinterpret_cast<const std::byte*>(address), 1});
}

}  // namespace

TEST_CASE("A device address is no address of the program's, until it is freed", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(100);
    CHECK(reserved(memory));
    REQUIRE(cuMemFree_v2(memory) == CUDA_SUCCESS);
    CHECK_FALSE(reserved(memory));
    CHECK(scene.gpu.allocations() == 0);
}

TEST_CASE("Device memory never lies where the program has memory of its own", "[memory]") {
    Scene scene;
    // The host will offer the next addresses; two of them are taken here.
    const CUdeviceptr next = allocate(100) + kGranuleBytes;
    std::vector<void*> taken;
    for (const CUdeviceptr wanted : {next, next + kGranuleBytes}) {
        void* place = reinterpret_cast<void*>(wanted);
        REQUIRE(mmap(place, kPageBytes, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == place);
        taken.push_back(place);
    }
    const CUdeviceptr memory = allocate(100);
    CHECK(memory == next + 2 * kGranuleBytes);
    // What collided was given back.
    CHECK(scene.gpu.allocations() == 2);
    for (void* place : taken) munmap(place, kPageBytes);
}

TEST_CASE("A program that owns all addresses that the host offers gets an error", "[memory]") {
    Scene scene;
    std::vector<std::byte> own(kPageBytes);
    scene.gpu.on<wire::cuMemAlloc_v2>(
        [&](const wire::cuMemAlloc_v2::Request& request, wire::cuMemAlloc_v2::Reply& reply) {
            reply.address = reinterpret_cast<std::uint64_t>(own.data());
            reply.bytes = request.bytes;
            return CUDA_SUCCESS;
        });
    CUdeviceptr memory = 0;
    CHECK(cuMemAlloc_v2(&memory, 100) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(memory == 0);
    CHECK(scene.gpu.count<wire::cuMemAlloc_v2>() == scene.gpu.count<wire::cuMemFree_v2>());
}

TEST_CASE("Memory is freed once, by its first address", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(100);
    CHECK(cuMemFree_v2(memory + 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFree_v2(memory) == CUDA_SUCCESS);
    CHECK(cuMemFree_v2(memory) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFree_v2(0) == CUDA_SUCCESS);
    int local = 0;
    CHECK(cuMemFree_v2(address_of(&local)) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAlloc_v2(nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
    CUdeviceptr none = 0;
    CHECK(cuMemAlloc_v2(&none, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(scene.gpu.count<wire::cuMemFree_v2>() == 1);
}

TEST_CASE("Of two frees at once one succeeds", "[memory]") {
    Scene scene;
    for (int round = 0; round < 50; ++round) {
        const CUdeviceptr memory = allocate(100);
        std::atomic<int> freed{0};
        const auto free = [&] {
            REQUIRE(cuCtxSetCurrent(scene.context) == CUDA_SUCCESS);
            freed += cuMemFree_v2(memory) == CUDA_SUCCESS ? 1 : 0;
        };
        std::thread other(free);
        free();
        other.join();
        REQUIRE(freed == 1);
    }
}

TEST_CASE("A free that the host refuses leaves the memory as it was", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(100);
    const unsigned long long id = buffer_id(memory);
    scene.gpu.fail<wire::cuMemFree_v2>(CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuMemFree_v2(memory) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(buffer_id(memory) == id);
    CHECK(reserved(memory));
}

TEST_CASE("A pointer into device memory tells all about it", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(100);
    const CUdeviceptr inside = memory + 99;
    CHECK(memory_type(inside) == CU_MEMORYTYPE_DEVICE);
    CUcontext context = nullptr;
    CHECK(ask(CU_POINTER_ATTRIBUTE_CONTEXT, inside, context) == CUDA_SUCCESS);
    CHECK(context == scene.context);
    CUdeviceptr device = 0;
    CHECK(ask(CU_POINTER_ATTRIBUTE_DEVICE_POINTER, inside, device) == CUDA_SUCCESS);
    CHECK(device == inside);
    void* host = nullptr;
    CHECK(ask(CU_POINTER_ATTRIBUTE_HOST_POINTER, inside, host) == CUDA_ERROR_INVALID_VALUE);
    CUdeviceptr start = 0;
    CHECK(ask(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, inside, start) == CUDA_SUCCESS);
    CHECK(start == memory);
    std::size_t bytes = 0;
    CHECK(ask(CU_POINTER_ATTRIBUTE_RANGE_SIZE, inside, bytes) == CUDA_SUCCESS);
    CHECK(bytes == 100);
    int ordinal = -1;
    CHECK(ask(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, inside, ordinal) == CUDA_SUCCESS);
    CHECK(ordinal == 0);
    unsigned managed = 7;
    CHECK(ask(CU_POINTER_ATTRIBUTE_IS_MANAGED, inside, managed) == CUDA_SUCCESS);
    CHECK(managed == 0);
    CHECK(buffer_id(memory) == buffer_id(inside));
    CHECK(memory_type(memory + 100) == 0);
    CUdeviceptr base = 0;
    CHECK(cuMemGetAddressRange_v2(&base, &bytes, inside) == CUDA_SUCCESS);
    CHECK(base == memory);
    CHECK(cuMemGetAddressRange_v2(&base, &bytes, memory + 100) == CUDA_ERROR_NOT_FOUND);
}

TEST_CASE("Pinned and managed memory tell what they are", "[memory]") {
    Scene scene;
    void* pinned = nullptr;
    CUdeviceptr managed = 0;
    REQUIRE(cuMemHostAlloc(&pinned, 100, 0) == CUDA_SUCCESS);
    REQUIRE(cuMemAllocManaged(&managed, 100, CU_MEM_ATTACH_GLOBAL) == CUDA_SUCCESS);
    CHECK(memory_type(address_of(pinned)) == CU_MEMORYTYPE_HOST);
    CHECK(memory_type(managed) == CU_MEMORYTYPE_DEVICE);
    unsigned is = 0;
    CHECK(ask(CU_POINTER_ATTRIBUTE_IS_MANAGED, managed, is) == CUDA_SUCCESS);
    CHECK(is == 1);
    for (const CUdeviceptr pointer : {address_of(pinned), managed}) {
        // Both sides reach it, at one address.
        CUdeviceptr device = 0;
        void* host = nullptr;
        CHECK(ask(CU_POINTER_ATTRIBUTE_DEVICE_POINTER, pointer, device) == CUDA_SUCCESS);
        CHECK(ask(CU_POINTER_ATTRIBUTE_HOST_POINTER, pointer, host) == CUDA_SUCCESS);
        CHECK(device == pointer);
        CHECK(address_of(host) == pointer);
    }
    REQUIRE(cuMemFreeHost(pinned) == CUDA_SUCCESS);
    REQUIRE(cuMemFree_v2(managed) == CUDA_SUCCESS);
    CHECK(memory_type(managed) == 0);
}

TEST_CASE("Registered memory stays the program's own", "[memory]") {
    Scene scene;
    std::vector<char> own(1000);
    REQUIRE(cuMemHostRegister_v2(own.data(), own.size(), 0) == CUDA_SUCCESS);
    CHECK(memory_type(address_of(own.data() + 999)) == CU_MEMORYTYPE_HOST);
    CUdeviceptr device = 0;
    CHECK(ask(CU_POINTER_ATTRIBUTE_DEVICE_POINTER, address_of(own.data()), device) ==
          CUDA_ERROR_INVALID_VALUE);
    unsigned mapped = 1;
    CHECK(ask(CU_POINTER_ATTRIBUTE_MAPPED, address_of(own.data()), mapped) == CUDA_SUCCESS);
    CHECK(mapped == 0);
    REQUIRE(cuMemHostUnregister(own.data()) == CUDA_SUCCESS);
    CHECK(memory_type(address_of(own.data())) == 0);
}

TEST_CASE("Of an ordinary pointer nothing is known, which is no error among many questions",
          "[memory]") {
    Scene scene;
    int local = 0;
    unsigned type = 7;
    CHECK(ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address_of(&local), type) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 0, type) == CUDA_ERROR_INVALID_VALUE);
    int ordinal = 7;
    CUcontext context = scene.context;
    CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                        CU_POINTER_ATTRIBUTE_CONTEXT};
    void* data[] = {&type, &ordinal, &context};
    REQUIRE(cuPointerGetAttributes(3, attributes, data, address_of(&local)) == CUDA_SUCCESS);
    CHECK(type == 0);
    CHECK(ordinal == CU_DEVICE_INVALID);
    CHECK(context == nullptr);
    CHECK(cuPointerGetAttributes(0, attributes, data, address_of(&local)) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuPointerGetAttributes(3, nullptr, data, address_of(&local)) == CUDA_ERROR_INVALID_VALUE);
    data[1] = nullptr;
    CHECK(cuPointerGetAttributes(3, attributes, data, address_of(&local)) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("Copies of every size bring what was there", "[memory]") {
    Scene scene;
    constexpr std::size_t kMost = 5'000'001;
    std::vector<unsigned char> bytes(kMost);
    std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(1));
    const CUdeviceptr memory = allocate(kMost);
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{4095}, std::size_t{32768}, std::size_t{32769},
          std::size_t{524288}, std::size_t{2097153}, kMost}) {
        INFO(size << " bytes");
        std::vector<unsigned char> back(size);
        REQUIRE(cuMemcpyHtoD_v2(memory + (kMost - size), bytes.data(), size) == CUDA_SUCCESS);
        REQUIRE(cuMemcpyDtoH_v2(back.data(), memory + (kMost - size), size) == CUDA_SUCCESS);
        CHECK(std::equal(back.begin(), back.end(), bytes.begin()));
    }
}

TEST_CASE("A copy between what is not what it is said to be is refused", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(100);
    std::vector<char> own(200);
    const CUdeviceptr host = address_of(own.data());
    CHECK(cuMemcpyHtoD_v2(memory, own.data(), 101) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(memory + 1, own.data(), 100) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyDtoH_v2(own.data(), memory, ~std::size_t{0}) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(host, own.data(), 10) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyDtoH_v2(own.data(), host, 10) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(memory, reinterpret_cast<void*>(memory), 10) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(memory, nullptr, 10) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(0, own.data(), 10) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD_v2(memory, own.data(), 0) == CUDA_SUCCESS);
    CHECK(cuMemcpy(memory, host, 100) == CUDA_SUCCESS);
    // Between two places of the program's own.
    own[0] = 42;
    CHECK(cuMemcpy(host + 100, host, 100) == CUDA_SUCCESS);
    CHECK(own[100] == 42);
}

TEST_CASE("A memset stays in its memory", "[memory]") {
    Scene scene;
    const CUdeviceptr memory = allocate(96);
    CHECK(cuMemsetD32_v2(memory, 1, 24) == CUDA_SUCCESS);
    CHECK(cuMemsetD32_v2(memory, 1, 25) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD32_v2(memory + 2, 1, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD32_v2(memory, 1, ~std::size_t{0} / 4 + 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD16_v2(memory + 1, 1, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD8_v2(memory + 95, 1, 1) == CUDA_SUCCESS);
    CHECK(cuMemsetD2D8_v2(memory, 32, 1, 32, 3) == CUDA_SUCCESS);
    CHECK(cuMemsetD2D8_v2(memory, 32, 1, 32, 4) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD2D8_v2(memory, 31, 1, 32, 3) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD2D32_v2(memory, 34, 1, 1, 2) == CUDA_ERROR_INVALID_VALUE);
    int local = 0;
    CHECK(cuMemsetD8_v2(address_of(&local), 0, 4) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD8_v2(memory, 0, 0) == CUDA_SUCCESS);
}

}  // namespace cubar::guest::test
