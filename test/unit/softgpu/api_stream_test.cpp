// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <vector>

#include "api_support.h"

using namespace cubar::softgpu::test;

TEST_CASE_METHOD(Context,
                 "legacy, blocking and non-blocking streams order themselves as CUDA says") {
    CUstream blocking = nullptr, independent = nullptr;
    SUCCEEDS(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    SUCCEEDS(cuStreamCreate(&independent, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    Word word;
    word.hold(blocking);
    SUCCEEDS(cuMemsetD32(memory, 1, 1));
    CHECK(cuStreamQuery(CU_STREAM_LEGACY) == CUDA_ERROR_NOT_READY);
    SUCCEEDS(cuMemsetD32Async(memory, 2, 1, independent));
    SUCCEEDS(cuStreamSynchronize(independent));
    CHECK(cuStreamQuery(blocking) == CUDA_ERROR_NOT_READY);
    word.release();
    unsigned value = 0;
    SUCCEEDS(cuMemcpyDtoH(&value, memory, 4));
    CHECK(value == 1);
    SUCCEEDS(cuStreamQuery(blocking));
}

TEST_CASE_METHOD(Context, "a small copy into an idle stream is done at once, by a lenient driver") {
    CUdeviceptr device = 0;
    void* pinned = nullptr;
    CUstream stream = nullptr;
    SUCCEEDS(cuMemAlloc(&device, 64));
    SUCCEEDS(cuMemAllocHost(&pinned, 64));
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SUCCEEDS(cuMemcpyHtoDAsync(device, pinned, 64, stream));
    const bool strict = std::getenv("CUBAR_SOFTGPU_STRICT") != nullptr;
    if (!strict) SUCCEEDS(cuStreamQuery(stream));
    SUCCEEDS(cuStreamSynchronize(stream));
    SUCCEEDS(cuStreamDestroy(stream));
    SUCCEEDS(cuMemFreeHost(pinned));
    SUCCEEDS(cuMemFree(device));
}

TEST_CASE_METHOD(Context, "host functions and callbacks run in stream order") {
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    std::vector<int> order;
    SUCCEEDS(cuLaunchHostFunc(
        stream, [](void* data) { static_cast<std::vector<int>*>(data)->push_back(1); }, &order));
    SUCCEEDS(cuStreamAddCallback(
        stream,
        [](CUstream, CUresult status, void* data) {
            static_cast<std::vector<int>*>(data)->push_back(status == CUDA_SUCCESS ? 2 : -1);
        },
        &order, 0));
    SUCCEEDS(cuStreamSynchronize(stream));
    CHECK(order == std::vector<int>{1, 2});
}

TEST_CASE_METHOD(Context, "the end of a context ends waits that nobody would fulfil") {
    CUcontext other = nullptr;
    SUCCEEDS(cuCtxCreate(&other, nullptr, 0, 0));
    CUstream stream = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUdeviceptr memory = 0;
    SUCCEEDS(cuMemAlloc(&memory, 4));
    SUCCEEDS(cuMemsetD32(memory, 0, 1));
    SUCCEEDS(cuCtxSynchronize());
    SUCCEEDS(cuStreamWaitValue32(stream, memory, 1, CU_STREAM_WAIT_VALUE_EQ));
    SUCCEEDS(cuCtxDestroy(other));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
}
