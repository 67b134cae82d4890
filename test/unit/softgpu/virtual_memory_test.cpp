// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <vector>

#include "device_fixture.h"

namespace {

constexpr CUmemAllocationProp kOnDevice = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED,
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
};
constexpr CUmemAccessDesc kReadWrite = {
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
    .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
};
constexpr CUmemAccessDesc kNone = {
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
    .flags = CU_MEM_ACCESS_FLAGS_PROT_NONE,
};

CUmemGenericAllocationHandle create(std::size_t size) {
    CUmemGenericAllocationHandle handle = 0;
    SUCCEEDS(cuMemCreate(&handle, size, &kOnDevice, 0));
    return handle;
}

/// A reservation that ends with the test, and what is mapped in it before.
struct Reservation {
    explicit Reservation(std::size_t bytes) : size(bytes) {
        SUCCEEDS(cuMemAddressReserve(&base, size, 0, 0, 0));
    }
    ~Reservation() {
        for (std::size_t offset = 0; offset < size; offset += kPage)
            cuMemUnmap(base + offset, kPage);
        cuMemAddressFree(base, size);
    }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    /// New memory of one page, whose handle is let go at once.
    void map_page(std::size_t page) const {
        const auto handle = create(kPage);
        SUCCEEDS(cuMemMap(base + page * kPage, kPage, 0, handle, 0));
        SUCCEEDS(cuMemRelease(handle));
    }
    void allow(std::size_t page, const CUmemAccessDesc& access = kReadWrite) const {
        SUCCEEDS(cuMemSetAccess(base + page * kPage, kPage, &access, 1));
    }

    CUdeviceptr base = 0;
    std::size_t size;
};

}  // namespace

TEST_CASE_METHOD(DeviceFixture, "a reservation takes addresses and no memory") {
    const std::size_t before = available();
    CUdeviceptr base = 0, other = 0;
    SUCCEEDS(cuMemAddressReserve(&base, std::size_t{32} << 30, 0, 0, 0));
    CHECK(base % kPage == 0);
    CHECK(available() == before);
    SUCCEEDS(cuMemAddressReserve(&other, kPage, std::size_t{1} << 30, 0, 0));
    CHECK(other % (std::size_t{1} << 30) == 0);
    SUCCEEDS(cuMemAddressFree(other, kPage));
    SECTION("a wished place is taken if it is free") {
        SUCCEEDS(cuMemAddressReserve(&other, kPage, 0, base, 0));
        CHECK(other != base);
        SUCCEEDS(cuMemAddressFree(other, kPage));
        SUCCEEDS(cuMemAddressFree(base, std::size_t{32} << 30));
        SUCCEEDS(cuMemAddressReserve(&other, kPage, 0, base + 5 * kPage, 0));
        CHECK(other == base + 5 * kPage);
        SUCCEEDS(cuMemAddressFree(other, kPage));
    }
    SECTION("it ends whole or not at all") {
        CHECK(cuMemAddressFree(base, kPage) == CUDA_ERROR_INVALID_VALUE);
        CHECK(cuMemAddressFree(base + kPage, kPage) == CUDA_ERROR_INVALID_VALUE);
        SUCCEEDS(cuMemAddressFree(base, std::size_t{32} << 30));
        CHECK(cuMemAddressFree(base, std::size_t{32} << 30) == CUDA_ERROR_INVALID_VALUE);
    }
    CHECK(cuMemAddressReserve(&other, 0, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressReserve(&other, 100, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressReserve(&other, kPage, 3 * kPage, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressReserve(&other, kPage, 0, 0, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressReserve(&other, std::size_t{1} << 46, 0, 0, 0) == CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_CASE_METHOD(DeviceFixture, "memory lives as long as a handle or a mapping of it") {
    const std::size_t before = available();
    const Reservation range(4 * kPage);
    const auto handle = create(2 * kPage);
    CHECK(available() == before - 2 * kPage);
    SUCCEEDS(cuMemMap(range.base, 2 * kPage, 0, handle, 0));
    SUCCEEDS(cuMemRelease(handle));
    CHECK(cuMemRelease(handle) == CUDA_ERROR_INVALID_VALUE);
    CHECK(available() == before - 2 * kPage);
    CUmemGenericAllocationHandle again = 0;
    SUCCEEDS(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range.base + kPage)));
    CHECK(again == handle);
    SUCCEEDS(cuMemUnmap(range.base, 2 * kPage));
    CHECK(available() == before - 2 * kPage);
    SUCCEEDS(cuMemRelease(again));
    CHECK(available() == before);
    CHECK(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range.base)) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture, "what is mapped can be touched once access is granted") {
    const Reservation range(4 * kPage);
    range.map_page(1);
    const CUdeviceptr word = range.base + kPage + 64;
    unsigned value = 7;
    CHECK(cuMemcpyHtoD(word, &value, sizeof value) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD32(word, 1, 1) == CUDA_ERROR_INVALID_VALUE);
    range.allow(1);
    CHECK(load(word) == 0);
    launch_store(word, 42);
    CHECK(load(word) == 42);
    range.allow(1, kNone);
    CHECK(cuMemcpyDtoH(&value, word, sizeof value) == CUDA_ERROR_INVALID_VALUE);
    unsigned long long flags = 9;
    const CUmemLocation here = kReadWrite.location;
    SUCCEEDS(cuMemGetAccess(&flags, &here, word));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    range.allow(1);
    SUCCEEDS(cuMemGetAccess(&flags, &here, word));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    CHECK(load(word) == 42);
    const CUmemLocation other = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 1};
    SUCCEEDS(cuMemGetAccess(&flags, &other, word));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    CHECK(cuMemGetAccess(&flags, &here, range.base) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture,
                 "a kernel faults where nothing is mapped or access is not granted") {
    const Reservation range(4 * kPage);
    range.map_page(0);
    range.map_page(1);
    range.allow(0);
    const std::size_t page = GENERATE(1u, 2u);
    launch_store(range.base, 1);
    SUCCEEDS(cuCtxSynchronize());
    launch_store(range.base + page * kPage, 1);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(DeviceFixture, "copies and fills pass from one mapping into the next") {
    const Reservation range(4 * kPage);
    for (const std::size_t page : {0u, 1u, 3u}) {
        range.map_page(page);
        range.allow(page);
    }
    std::vector<unsigned char> bytes(2 * kPage), back(2 * kPage);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 7);
    SUCCEEDS(cuMemcpyHtoD(range.base, bytes.data(), bytes.size()));
    SUCCEEDS(cuMemcpyDtoH(back.data(), range.base, back.size()));
    CHECK(back == bytes);
    SUCCEEDS(cuMemsetD8(range.base + kPage - 10, 1, 20));
    CHECK(load(range.base + kPage - 2) == 0x01010101);
    CHECK(cuMemsetD8(range.base + kPage, 1, kPage + 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyDtoH(back.data(), range.base + 2 * kPage, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpy(reinterpret_cast<CUdeviceptr>(back.data()), range.base + 2 * kPage, 1) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture, "one memory can be seen at two places") {
    const Reservation range(2 * kPage);
    const auto handle = create(kPage);
    SUCCEEDS(cuMemMap(range.base, kPage, 0, handle, 0));
    SUCCEEDS(cuMemMap(range.base + kPage, kPage, 0, handle, 0));
    SUCCEEDS(cuMemRelease(handle));
    SUCCEEDS(cuMemSetAccess(range.base, 2 * kPage, &kReadWrite, 1));
    launch_store(range.base + 8, 5);
    CHECK(load(range.base + kPage + 8) == 5);
}

TEST_CASE_METHOD(DeviceFixture, "mappings do not overlap, and go whole") {
    const Reservation range(4 * kPage);
    const auto handle = create(2 * kPage);
    CHECK(cuMemMap(range.base, 4 * kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base, kPage / 2, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base + 100, kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base + 3 * kPage, 2 * kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base + 9 * kPage, kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base, kPage, 0, handle + 1, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base, kPage, 0, handle, 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemMap(range.base + kPage, 2 * kPage, 0, handle, 0));
    CHECK(cuMemMap(range.base + 2 * kPage, kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemMap(range.base, 2 * kPage, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemUnmap(range.base + kPage, kPage) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemUnmap(range.base, 3 * kPage) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemUnmap(range.base + kPage, 3 * kPage) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemSetAccess(range.base + kPage, kPage, &kReadWrite, 1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemAddressFree(range.base, range.size) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemFree(range.base + kPage) == CUDA_ERROR_INVALID_VALUE);
    range.map_page(0);
    SUCCEEDS(cuMemSetAccess(range.base, 3 * kPage, &kReadWrite, 1));
    SUCCEEDS(cuMemUnmap(range.base, 3 * kPage));
    SUCCEEDS(cuMemRelease(handle));
}

TEST_CASE_METHOD(DeviceFixture, "unmapping waits for the work that uses the memory") {
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    const Reservation range(kPage);
    range.map_page(0);
    range.allow(0);
    for (unsigned i = 0; i < 100; ++i) launch_store(range.base, i, stream);
    SUCCEEDS(cuMemUnmap(range.base, kPage));
    SUCCEEDS(cuCtxSynchronize());
}

TEST_CASE_METHOD(DeviceFixture, "memory that is used again is zeroed, and exhaustion is an error") {
    const Reservation range(kPage);
    range.map_page(0);
    range.allow(0);
    launch_store(range.base, 1);
    SUCCEEDS(cuMemUnmap(range.base, kPage));
    range.map_page(0);
    range.allow(0);
    CHECK(load(range.base) == 0);
    CUmemGenericAllocationHandle handle = 0;
    CHECK(cuMemCreate(&handle, available() + kPage, &kOnDevice, 0) == CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_CASE_METHOD(DeviceFixture, "properties that are not there are refused") {
    CUmemGenericAllocationHandle handle = 0;
    std::size_t granularity = 0;
    SUCCEEDS(cuMemGetAllocationGranularity(&granularity, &kOnDevice,
                                           CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    CHECK(granularity == kPage);
    CHECK(cuMemCreate(&handle, kPage / 2, &kOnDevice, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemCreate(&handle, 0, &kOnDevice, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemCreate(&handle, kPage, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
    CUmemAllocationProp asked = kOnDevice;
    asked.location.id = 2;
    CHECK(cuMemCreate(&handle, kPage, &asked, 0) == CUDA_ERROR_INVALID_DEVICE);
    asked = kOnDevice;
    asked.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    CHECK(cuMemCreate(&handle, kPage, &asked, 0) == CUDA_ERROR_NOT_SUPPORTED);
    asked = kOnDevice;
    asked.location.type = CU_MEM_LOCATION_TYPE_HOST;
    CHECK(cuMemCreate(&handle, kPage, &asked, 0) == CUDA_ERROR_NOT_SUPPORTED);
    asked = kOnDevice;
    asked.allocFlags.compressionType = CU_MEM_ALLOCATION_COMP_GENERIC;
    SUCCEEDS(cuMemCreate(&handle, kPage, &asked, 0));
    CUmemAllocationProp got{};
    SUCCEEDS(cuMemGetAllocationPropertiesFromHandle(&got, handle));
    CHECK(got.location.id == 0);
    CHECK(got.allocFlags.compressionType == CU_MEM_ALLOCATION_COMP_NONE);
    const Reservation range(kPage);
    SUCCEEDS(cuMemMap(range.base, kPage, 0, handle, 0));
    SUCCEEDS(cuMemRelease(handle));
    CUmemAccessDesc access = kReadWrite;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
    CHECK(cuMemSetAccess(range.base, kPage, &access, 1) == CUDA_ERROR_NOT_SUPPORTED);
    access = kReadWrite;
    access.location.id = 1;
    CHECK(cuMemSetAccess(range.base, kPage, &access, 1) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuMemSetAccess(range.base, kPage, &access, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(DeviceFixture, "a pointer knows its mapping and its reservation") {
    const Reservation range(4 * kPage);
    range.map_page(1);
    range.map_page(2);
    const CUdeviceptr pointer = range.base + kPage + 100;
    CUdeviceptr start = 0;
    std::size_t size = 0;
    SUCCEEDS(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, pointer));
    SUCCEEDS(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, pointer));
    CHECK(start == range.base);
    CHECK(size == range.size);
    SUCCEEDS(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, pointer));
    SUCCEEDS(cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_MAPPING_SIZE, pointer));
    CHECK(start == range.base + kPage);
    CHECK(size == kPage);
    unsigned flags = 9, mapped = 9;
    SUCCEEDS(cuPointerGetAttribute(&flags, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, pointer));
    CHECK(flags == CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE);
    range.allow(1);
    SUCCEEDS(cuPointerGetAttribute(&flags, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, pointer));
    CHECK(flags == CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    SUCCEEDS(cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, range.base));
    CHECK(mapped == 0);
    SUCCEEDS(cuPointerGetAttribute(&mapped, CU_POINTER_ATTRIBUTE_MAPPED, pointer));
    CHECK(mapped == 1);
}
