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

TEST_CASE_METHOD(Context, "a stream keeps the attributes that it is told") {
    CUstream first = nullptr, second = nullptr;
    SUCCEEDS(cuStreamCreateWithPriority(&first, CU_STREAM_NON_BLOCKING, -2));
    SUCCEEDS(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    CUstreamAttrValue value{};
    SUCCEEDS(cuStreamGetAttribute(first, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    CHECK(value.priority == -2);
    SUCCEEDS(cuStreamGetAttribute(first, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    CHECK(value.syncPolicy == CU_SYNC_POLICY_AUTO);

    value.syncPolicy = CU_SYNC_POLICY_YIELD;
    SUCCEEDS(cuStreamSetAttribute(first, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value.memSyncDomain = CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE;
    SUCCEEDS(cuStreamSetAttribute(first, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    SUCCEEDS(cuStreamCopyAttributes(second, first));
    SUCCEEDS(cuStreamGetAttribute(second, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    CHECK(value.syncPolicy == CU_SYNC_POLICY_YIELD);
    SUCCEEDS(cuStreamGetAttribute(second, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    CHECK(value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE);
    int priority = 0;
    SUCCEEDS(cuStreamGetPriority(second, &priority));
    CHECK(priority == -2);

    value.priority = -100;
    SUCCEEDS(cuStreamSetAttribute(second, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    int greatest = 0;
    SUCCEEDS(cuCtxGetStreamPriorityRange(nullptr, &greatest));
    SUCCEEDS(cuStreamGetPriority(second, &priority));
    CHECK(priority == greatest);
    SUCCEEDS(cuStreamGetPriority(first, &priority));
    CHECK(priority == -2);
}

TEST_CASE_METHOD(Context, "attributes that no stream can have are refused") {
    CUstreamAttrValue value{};
    CHECK(cuStreamGetAttribute(nullptr, CU_STREAM_ATTRIBUTE_PRIORITY, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuStreamSetAttribute(nullptr, CU_STREAM_ATTRIBUTE_PRIORITY, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    for (const CUstreamAttrID unknown :
         {CU_LAUNCH_ATTRIBUTE_COOPERATIVE, CU_LAUNCH_ATTRIBUTE_IGNORE}) {
        CHECK(cuStreamGetAttribute(nullptr, unknown, &value) == CUDA_ERROR_INVALID_VALUE);
        CHECK(cuStreamSetAttribute(nullptr, unknown, &value) == CUDA_ERROR_INVALID_VALUE);
    }
    value.accessPolicyWindow.num_bytes = 4096;
    CHECK(cuStreamSetAttribute(nullptr, CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value) ==
          CUDA_ERROR_INVALID_VALUE);
    value = {};
    value.memSyncDomainMap.remote = 1;
    CHECK(cuStreamSetAttribute(nullptr, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP, &value) ==
          CUDA_ERROR_INVALID_VALUE);
    CUcontext other = nullptr;
    CUstream stranger = nullptr;
    SUCCEEDS(cuCtxCreate(&other, nullptr, 0, 0));
    SUCCEEDS(cuStreamCreate(&stranger, CU_STREAM_NON_BLOCKING));
    SUCCEEDS(cuCtxSetCurrent(context));
    CHECK(cuStreamCopyAttributes(nullptr, stranger) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuCtxDestroy(other));
    CHECK(cuStreamCopyAttributes(nullptr, stranger) == CUDA_ERROR_INVALID_HANDLE);
}
