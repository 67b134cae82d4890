// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <vector>

#include "device_fixture.h"

namespace {

constexpr CUmemPoolProps kOnDevice = {
    .allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
};

/// A stream, and a pool that is destroyed with the test.
struct PoolFixture : DeviceFixture {
    PoolFixture() {
        SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
        SUCCEEDS(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
        SUCCEEDS(cuMemPoolCreate(&pool, &kOnDevice));
    }
    ~PoolFixture() {
        cuCtxSynchronize();
        cuMemPoolDestroy(pool);
    }
    PoolFixture(const PoolFixture&) = delete;
    PoolFixture& operator=(const PoolFixture&) = delete;

    [[nodiscard]] CUdeviceptr allocate(std::size_t size, CUstream in) const {
        CUdeviceptr address = 0;
        SUCCEEDS(cuMemAllocFromPoolAsync(&address, size, pool, in));
        return address;
    }
    [[nodiscard]] cuuint64_t get(CUmemPool_attribute attribute) const {
        cuuint64_t value = 0;
        SUCCEEDS(cuMemPoolGetAttribute(pool, attribute, &value));
        return value;
    }
    void keep(cuuint64_t bytes) const {
        SUCCEEDS(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes));
    }
    void allow(CUmemPool_attribute attribute, int value) const {
        SUCCEEDS(cuMemPoolSetAttribute(pool, attribute, &value));
    }

    CUstream stream = nullptr;
    CUstream other = nullptr;
    CUmemoryPool pool = nullptr;
};

}  // namespace

TEST_CASE_METHOD(PoolFixture, "memory lives between its two operations in the stream") {
    const CUdeviceptr memory = allocate(1000, stream);
    launch_store(memory + 996, 42, stream);
    unsigned value = 0;
    SUCCEEDS(cuMemcpyDtoHAsync(&value, memory + 996, 4, stream));
    CHECK(value == 42);
    CHECK(cuMemsetD8Async(memory, 0, 1001, stream) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFreeAsync(memory, stream));
    CHECK(cuMemFreeAsync(memory, stream) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD8Async(memory, 0, 1, stream) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuStreamSynchronize(stream));
    SECTION("a kernel after the free faults") {
        launch_store(memory, 1, stream);
        CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    SECTION("so does one before the allocation") {
        Hold hold(stream);
        const CUdeviceptr late = allocate(1000, stream);
        launch_store(late, 1, other);
        CHECK(cuStreamSynchronize(other) == CUDA_ERROR_ILLEGAL_ADDRESS);
    }
}

TEST_CASE_METHOD(PoolFixture, "a kernel before the free may use the memory still") {
    const CUdeviceptr memory = allocate(1000, stream);
    Hold hold(stream);
    launch_store(memory, 1, stream);
    SUCCEEDS(cuMemFreeAsync(memory, stream));
    hold.release();
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
}

TEST_CASE_METHOD(PoolFixture, "a stream has back at once what it freed") {
    keep(std::numeric_limits<cuuint64_t>::max());
    Hold hold(stream);
    const CUdeviceptr first = allocate(3 * kPage, stream);
    SUCCEEDS(cuMemFreeAsync(first, stream));
    CHECK(allocate(3 * kPage, stream) == first);
    CHECK(get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 3 * kPage);
    SECTION("and another stream only when it is done") {
        SUCCEEDS(cuMemFreeAsync(first, stream));
        const CUdeviceptr second = allocate(3 * kPage, other);
        CHECK(second != first);
        hold.release();
        SUCCEEDS(cuStreamSynchronize(stream));
        CHECK(allocate(3 * kPage, other) == first);
        SUCCEEDS(cuMemFreeAsync(second, other));
    }
    hold.release();
    SUCCEEDS(cuCtxSynchronize());
    launch_store(first, 1);
    SUCCEEDS(cuCtxSynchronize());
    SUCCEEDS(cuMemFreeAsync(first, stream));
}

TEST_CASE_METHOD(PoolFixture, "where memory runs out a stream waits for what another frees") {
    const std::size_t most = available() / kPage * kPage;
    const CUdeviceptr all = allocate(most, stream);
    Hold hold(stream);
    SUCCEEDS(cuMemFreeAsync(all, stream));
    CUdeviceptr again = 0;
    SECTION("if it may") {
        SUCCEEDS(cuMemAllocFromPoolAsync(&again, most, pool, other));
        CHECK(again == all);
        CHECK(cuStreamQuery(other) == CUDA_ERROR_NOT_READY);
        launch_store(again, 9, other);
        hold.release();
        SUCCEEDS(cuStreamSynchronize(other));
        CHECK(load(again) == 9);
        SUCCEEDS(cuMemFreeAsync(again, other));
    }
    SECTION("and else there is none") {
        allow(CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES, 0);
        CHECK(cuMemAllocFromPoolAsync(&again, most, pool, other) == CUDA_ERROR_OUT_OF_MEMORY);
    }
}

TEST_CASE_METHOD(PoolFixture, "without leave to be opportunistic a free counts once it was seen") {
    allow(CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, 0);
    keep(std::numeric_limits<cuuint64_t>::max());
    const CUdeviceptr first = allocate(kPage, stream);
    SUCCEEDS(cuMemFreeAsync(first, stream));
    while (cuStreamQuery(stream) == CUDA_ERROR_NOT_READY) {
    }
    const CUdeviceptr second = allocate(kPage, other);
    CHECK(second != first);
    SUCCEEDS(cuStreamSynchronize(stream));
    const CUdeviceptr third = allocate(kPage, other);
    CHECK(third == first);
    SUCCEEDS(cuMemFreeAsync(second, other));
    SUCCEEDS(cuMemFreeAsync(third, other));
}

TEST_CASE_METHOD(PoolFixture, "a synchronisation gives back what is above the threshold") {
    const std::size_t before = available();
    const auto allocate_and_free = [&] {
        const CUdeviceptr one = allocate(2 * kPage, stream);
        const CUdeviceptr two = allocate(3 * kPage, stream);
        CHECK(available() == before - 5 * kPage);
        SUCCEEDS(cuMemFreeAsync(one, stream));
        SUCCEEDS(cuMemFreeAsync(two, stream));
    };
    SECTION("of none") {
        allocate_and_free();
        SECTION("a stream's") {
            SUCCEEDS(cuStreamSynchronize(stream));
        }
        SECTION("a context's") {
            SUCCEEDS(cuCtxSynchronize());
        }
        SECTION("an event's") {
            CUevent event = nullptr;
            SUCCEEDS(cuEventCreate(&event, 0));
            SUCCEEDS(cuEventRecord(event, stream));
            SUCCEEDS(cuEventSynchronize(event));
        }
        CHECK(available() == before);
        CHECK(get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 0);
    }
    SECTION("of some") {
        keep(3 * kPage);
        allocate_and_free();
        SUCCEEDS(cuStreamSynchronize(stream));
        CHECK(get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 3 * kPage);
        CHECK(get(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) == 5 * kPage);
        SUCCEEDS(cuMemPoolTrimTo(pool, 4 * kPage));
        CHECK(available() == before - 3 * kPage);
        SUCCEEDS(cuMemPoolTrimTo(pool, 0));
        CHECK(available() == before);
    }
    SECTION("and whoever needs it takes it all") {
        keep(std::numeric_limits<cuuint64_t>::max());
        allocate_and_free();
        SUCCEEDS(cuStreamSynchronize(stream));
        CHECK(available() == before - 5 * kPage);
        CUdeviceptr all = 0;
        SUCCEEDS(cuMemAlloc(&all, before / kPage * kPage));
        SUCCEEDS(cuMemFree(all));
    }
}

TEST_CASE_METHOD(PoolFixture, "a pool counts what is in use, and what was at the most") {
    const CUdeviceptr one = allocate(512, stream);
    const CUdeviceptr two = allocate(1024, stream);
    CHECK(get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 1536);
    SUCCEEDS(cuMemFreeAsync(two, stream));
    SUCCEEDS(cuStreamSynchronize(stream));
    CHECK(get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 512);
    CHECK(get(CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 1536);
    cuuint64_t value = 1;
    CHECK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &value) ==
          CUDA_ERROR_INVALID_VALUE);
    value = 0;
    SUCCEEDS(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &value));
    CHECK(get(CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 512);
    CHECK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &value) ==
          CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFree(one));
    CHECK(get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 0);
}

TEST_CASE_METHOD(PoolFixture, "a device has a default pool and a current one") {
    CUmemoryPool standard = nullptr, current = nullptr;
    SUCCEEDS(cuDeviceGetDefaultMemPool(&standard, 0));
    SUCCEEDS(cuDeviceGetMemPool(&current, 0));
    CHECK(current == standard);
    CHECK(cuMemPoolDestroy(standard) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDeviceSetMemPool(1, pool) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDeviceGetMemPool(&current, 2) == CUDA_ERROR_INVALID_DEVICE);
    SUCCEEDS(cuDeviceSetMemPool(0, pool));
    SUCCEEDS(cuDeviceGetMemPool(&current, 0));
    CHECK(current == pool);
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAllocAsync(&memory, 100, stream));
    CUmemoryPool source = nullptr;
    SUCCEEDS(cuPointerGetAttribute(&source, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, memory));
    CHECK(source == pool);
    SECTION("which is the default one again when it is destroyed, and its memory stays") {
        const std::size_t before = available();
        SUCCEEDS(cuMemPoolDestroy(pool));
        CHECK(cuMemPoolDestroy(pool) == CUDA_ERROR_INVALID_VALUE);
        SUCCEEDS(cuDeviceGetMemPool(&current, 0));
        CHECK(current == standard);
        launch_store(memory, 3, stream);
        SUCCEEDS(cuStreamSynchronize(stream));
        CHECK(load(memory) == 3);
        SUCCEEDS(cuMemFreeAsync(memory, stream));
        SUCCEEDS(cuStreamSynchronize(stream));
        CHECK(available() == before + kPage);
    }
    SECTION("by location, too") {
        CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
        SUCCEEDS(cuMemGetMemPool(&current, &here, CU_MEM_ALLOCATION_TYPE_PINNED));
        CHECK(current == pool);
        SUCCEEDS(cuMemGetDefaultMemPool(&current, &here, CU_MEM_ALLOCATION_TYPE_PINNED));
        CHECK(current == standard);
        SUCCEEDS(cuMemSetMemPool(&here, CU_MEM_ALLOCATION_TYPE_PINNED, standard));
        SUCCEEDS(cuDeviceGetMemPool(&current, 0));
        CHECK(current == standard);
        here.type = CU_MEM_LOCATION_TYPE_HOST;
        CHECK(cuMemGetMemPool(&current, &here, CU_MEM_ALLOCATION_TYPE_PINNED) ==
              CUDA_ERROR_NOT_SUPPORTED);
        SUCCEEDS(cuMemFreeAsync(memory, stream));
    }
}

TEST_CASE_METHOD(PoolFixture, "pools keep within their size, and refuse what they are not") {
    CUmemPoolProps asked = kOnDevice;
    asked.maxSize = 2 * kPage;
    CUmemoryPool small = nullptr;
    SUCCEEDS(cuMemPoolCreate(&small, &asked));
    CUdeviceptr memory = 0;
    CHECK(cuMemAllocFromPoolAsync(&memory, 3 * kPage, small, stream) == CUDA_ERROR_OUT_OF_MEMORY);
    SUCCEEDS(cuMemAllocFromPoolAsync(&memory, 2 * kPage, small, stream));
    SUCCEEDS(cuMemFreeAsync(memory, stream));
    SUCCEEDS(cuMemPoolDestroy(small));
    asked = kOnDevice;
    asked.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    CHECK(cuMemPoolCreate(&small, &asked) == CUDA_ERROR_NOT_SUPPORTED);
    asked = kOnDevice;
    asked.location.id = 2;
    CHECK(cuMemPoolCreate(&small, &asked) == CUDA_ERROR_INVALID_DEVICE);
    for (const std::size_t size : {std::size_t{0}, std::numeric_limits<std::size_t>::max()}) {
        CHECK(cuMemAllocAsync(&memory, size, stream) ==
              (size == 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY));
    }
    CUdeviceptr plain = 0;
    SUCCEEDS(cuMemAlloc(&plain, 100));
    CHECK(cuMemFreeAsync(plain, stream) == CUDA_ERROR_INVALID_VALUE);
    CUmemAccessDesc access = {.location = kOnDevice.location,
                              .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    SUCCEEDS(cuMemPoolSetAccess(pool, &access, 1));
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
    CHECK(cuMemPoolSetAccess(pool, &access, 1) == CUDA_ERROR_INVALID_VALUE);
    CUmemAccess_flags flags{};
    SUCCEEDS(cuMemPoolGetAccess(&flags, pool, &access.location));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    access.location.id = 1;
    SUCCEEDS(cuMemPoolGetAccess(&flags, pool, &access.location));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    CHECK(cuMemPoolSetAccess(pool, &access, 1) == CUDA_ERROR_INVALID_DEVICE);
}
