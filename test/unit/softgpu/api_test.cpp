// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "api_support.h"

using namespace cubar::softgpu::test;

// First, before anything initialises the driver.
TEST_CASE("before cuInit nothing works") {
    int count = 0;
    CUdeviceptr memory = 0;
    CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuMemAlloc(nullptr, 0) == CUDA_ERROR_NOT_INITIALIZED);
    CHECK(cuInit(1) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDriverGetVersion(&count) == CUDA_SUCCESS);
    CHECK(count == CUDA_VERSION);
    SUCCEEDS(cuInit(0));
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("two devices, told apart") {
    SUCCEEDS(cuInit(0));
    int count = 0;
    SUCCEEDS(cuDeviceGetCount(&count));
    REQUIRE(count == 2);
    CUuuid one, two;
    SUCCEEDS(cuDeviceGetUuid(&one, 0));
    SUCCEEDS(cuDeviceGetUuid(&two, 1));
    CHECK(std::memcmp(&one, &two, sizeof one) != 0);
    std::array<char, 32> text{};
    SUCCEEDS(cuDeviceGetPCIBusId(text.data(), text.size(), 1));
    CUdevice found = -1;
    SUCCEEDS(cuDeviceGetByPCIBusId(&found, text.data()));
    CHECK(found == 1);
    CHECK(cuDeviceGet(&found, 2) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuDeviceGet(&found, -1) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuDeviceGetName(text.data(), 6, 0) == CUDA_SUCCESS);
    CHECK(std::string(text.data()) == "cubar");
    CHECK(cuDeviceGetName(text.data(), 0, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("contexts form a stack per thread") {
    SUCCEEDS(cuInit(0));
    CUcontext one, two, current;
    SUCCEEDS(cuCtxCreate(&one, nullptr, 0, 0));
    SUCCEEDS(cuCtxCreate(&two, nullptr, 0, 1));
    CUdevice device = -1;
    SUCCEEDS(cuCtxGetDevice(&device));
    CHECK(device == 1);
    SUCCEEDS(cuCtxPopCurrent(&current));
    CHECK(current == two);
    std::thread([&] {
        CUcontext none = one;
        CHECK(cuCtxGetCurrent(&none) == CUDA_SUCCESS);
        CHECK(none == nullptr);
        CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT);
        CHECK(cuCtxPopCurrent(&none) == CUDA_ERROR_INVALID_CONTEXT);
    }).join();
    SUCCEEDS(cuCtxDestroy(two));
    CHECK(cuCtxDestroy(two) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuCtxSetCurrent(two) == CUDA_ERROR_INVALID_CONTEXT);
    std::thread([&] {
        CHECK(cuCtxSetCurrent(one) == CUDA_SUCCESS);
        CHECK(cuCtxDestroy(one) == CUDA_SUCCESS);
    }).join();
    CUdeviceptr memory = 0;
    CHECK(cuMemAlloc(&memory, 1) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    SUCCEEDS(cuCtxSetCurrent(nullptr));
}

TEST_CASE("a primary context keeps its handle from one life to the next") {
    SUCCEEDS(cuInit(0));
    CUcontext first, second;
    SUCCEEDS(cuDevicePrimaryCtxRetain(&first, 0));
    SUCCEEDS(cuDevicePrimaryCtxRetain(&second, 0));
    CHECK(first == second);
    SUCCEEDS(cuCtxSetCurrent(first));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 100));
    SUCCEEDS(cuDevicePrimaryCtxRelease(0));
    unsigned flags = 0;
    int active = 0;
    SUCCEEDS(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 1);
    SUCCEEDS(cuDevicePrimaryCtxRelease(0));
    SUCCEEDS(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 0);
    CHECK(cuDevicePrimaryCtxRelease(0) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuMemAlloc(&memory, 100) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    SUCCEEDS(cuDevicePrimaryCtxRetain(&second, 0));
    CHECK(first == second);
    CHECK(cuMemFree(memory) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuCtxDestroy(first) == CUDA_ERROR_INVALID_CONTEXT);
    SUCCEEDS(cuDevicePrimaryCtxReset(0));
    SUCCEEDS(cuCtxSetCurrent(nullptr));
}

TEST_CASE_METHOD(Context, "memory that is free is what can be had") {
    std::size_t before = 0, total = 0, after = 0;
    SUCCEEDS(cuMemGetInfo(&before, &total));
    CHECK(total == std::size_t{256} << 20);
    CHECK(before == total);
    CUdeviceptr all = 0, more = 0;
    SUCCEEDS(cuMemAlloc(&all, total));
    CHECK(cuMemAlloc(&more, 1) == CUDA_ERROR_OUT_OF_MEMORY);
    SUCCEEDS(cuMemGetInfo(&after, &total));
    CHECK(after == 0);
    CHECK(cuMemFree(all + 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFree(all));
    CHECK(cuMemFree(all) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemFree(0));
    CHECK(cuMemAlloc(&more, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemGetInfo(&after, &total));
    CHECK(after == before);
}

TEST_CASE_METHOD(Context, "a copy that leaves its allocation is refused") {
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 1000));
    std::vector<unsigned char> bytes(2000, 7);
    CHECK(cuMemcpyHtoD(memory, bytes.data(), 1001) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD(memory + 500, bytes.data(), 501) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpyHtoD(reinterpret_cast<CUdeviceptr>(bytes.data()), bytes.data(), 1) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD8(memory + 999, 0, 2) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemsetD32(memory + 2, 0, 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuMemcpyHtoD(memory, bytes.data(), 1000));
    SUCCEEDS(cuMemsetD16(memory + 10, 0x1234, 5));
    SUCCEEDS(cuMemcpyDtoH(bytes.data() + 1000, memory, 1000));
    CHECK(bytes[1000] == 7);
    CHECK(bytes[1010] == 0x34);
    CHECK(bytes[1019] == 0x12);
    CHECK(bytes[1020] == 7);
}

TEST_CASE_METHOD(Context, "rows are copied between pitches") {
    CUdeviceptr memory = 0;
    std::size_t pitch = 0;
    SUCCEEDS(cuMemAllocPitch(&memory, &pitch, 12, 3, 4));
    CHECK(pitch % 512 == 0);
    std::vector<unsigned char> source(12 * 3), result(20 * 3, 0xff);
    std::iota(source.begin(), source.end(), static_cast<unsigned char>(0));
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = source.data();
    copy.srcPitch = 12;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = memory;
    copy.dstPitch = pitch;
    copy.WidthInBytes = 12;
    copy.Height = 3;
    SUCCEEDS(cuMemcpy2D(&copy));
    CUDA_MEMCPY2D back{};
    back.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    back.srcDevice = memory;
    back.srcPitch = pitch;
    back.srcXInBytes = 2;
    back.srcY = 1;
    back.dstMemoryType = CU_MEMORYTYPE_HOST;
    back.dstHost = result.data();
    back.dstPitch = 20;
    back.WidthInBytes = 10;
    back.Height = 2;
    SUCCEEDS(cuMemcpy2D(&back));
    CHECK(result[0] == 14);
    CHECK(result[9] == 23);
    CHECK(result[10] == 0xff);
    CHECK(result[20] == 26);
    back.dstPitch = 9;
    CHECK(cuMemcpy2D(&back) == CUDA_ERROR_INVALID_VALUE);
    back.dstPitch = 20;
    back.Height = 4;
    back.srcPitch = pitch;
    back.srcY = 3;
    CHECK(cuMemcpy2D(&back) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuMemcpy2D(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Context,
                 "a pageable source is consumed, a pageable destination filled, on return") {
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    Word word;
    word.hold(stream);
    unsigned source = 11;
    SUCCEEDS(cuMemcpyHtoDAsync(memory, &source, 4, stream));
    source = 12;
    word.release();
    unsigned result = 0;
    SUCCEEDS(cuMemcpyDtoHAsync(&result, memory, 4, stream));
    CHECK(result == 11);
}

TEST_CASE_METHOD(Context, "pointers know what they point to") {
    CUdeviceptr memory = 0;
    void* pinned = nullptr;
    SUCCEEDS(cuMemAlloc(&memory, 100));
    SUCCEEDS(cuMemHostAlloc(&pinned, 100, 0));
    unsigned type = 0;
    SUCCEEDS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory + 50));
    CHECK(type == CU_MEMORYTYPE_DEVICE);
    const auto host = reinterpret_cast<CUdeviceptr>(pinned);
    SUCCEEDS(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host));
    CHECK(type == CU_MEMORYTYPE_HOST);
    CUdeviceptr mapped = 0;
    SUCCEEDS(cuMemHostGetDevicePointer(&mapped, pinned, 0));
    CHECK(mapped == host);
    int local = 0;
    const auto unknown = reinterpret_cast<CUdeviceptr>(&local);
    CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, unknown) ==
          CUDA_ERROR_INVALID_VALUE);
    int device = 0;
    std::array<CUpointer_attribute, 2> wanted{CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                              CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    std::array<void*, 2> answers{&type, &device};
    SUCCEEDS(cuPointerGetAttributes(2, wanted.data(), answers.data(), unknown));
    CHECK(type == 0);
    CHECK(device == -2);
    CUdeviceptr base = 0;
    std::size_t size = 0;
    SUCCEEDS(cuMemGetAddressRange(&base, &size, memory + 99));
    CHECK(base == memory);
    CHECK(size == 100);
    CHECK(cuMemGetAddressRange(&base, &size, unknown) == CUDA_ERROR_NOT_FOUND);
    SUCCEEDS(cuMemFreeHost(pinned));
    CHECK(cuMemFreeHost(pinned) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Context, "the child of a fork has no driver") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int count = 0;
        const bool refused = cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
                             cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED;
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
