// SPDX-License-Identifier: Apache-2.0
// Contexts: created, current, pushed and popped, per thread; primary contexts and their state.
#include <thread>

#include "driver_api.h"

int main() {
    DRIVER(cuInit(0));
    CUdevice device;
    DRIVER(cuDeviceGet(&device, 0));

    CUcontext first, second, current, popped;
    DRIVER(cuCtxCreate(&first, nullptr, CU_CTX_SCHED_BLOCKING_SYNC, device));
    DRIVER(cuCtxCreate(&second, nullptr, 0, device));
    DRIVER(cuCtxGetCurrent(&current));
    CHECK(current == second && first != second);
    DRIVER(cuCtxPopCurrent(&popped));
    CHECK(popped == second);
    DRIVER(cuCtxGetCurrent(&current));
    CHECK(current == first);
    DRIVER(cuCtxPushCurrent(second));
    DRIVER(cuCtxSetCurrent(first));
    DRIVER(cuCtxGetCurrent(&current));
    CHECK(current == first);
    unsigned flags = 0, version = 0;
    DRIVER(cuCtxGetFlags(&flags));
    CHECK((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC);
    DRIVER(cuCtxGetApiVersion(first, &version));
    CHECK(version >= 3010);
    CUdevice found = -1;
    DRIVER(cuCtxGetDevice(&found));
    CHECK(found == device);
    std::printf("created and current\n");

    // Memory belongs to its context, and the address means the same in every one.
    CUdeviceptr memory;
    DRIVER(cuMemAlloc(&memory, 256));
    DRIVER(cuMemsetD32(memory, 77, 64));
    CUcontext owner = nullptr;
    DRIVER(cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, memory));
    CHECK(owner == first);
    DRIVER(cuCtxSynchronize());
    unsigned word = 0;
    std::thread([&] {
        CUcontext here = first;
        DRIVER(cuCtxGetCurrent(&here));
        CHECK(here == nullptr);
        DRIVER_FAILS(cuMemcpyDtoH(&word, memory, 4), CUDA_ERROR_INVALID_CONTEXT);
        DRIVER(cuCtxPushCurrent(first));
        DRIVER(cuMemcpyDtoH(&word, memory, 4));
        DRIVER(cuCtxPopCurrent(&here));
        CHECK(here == first);
    }).join();
    CHECK(word == 77);
    std::printf("per thread\n");

    std::size_t limit = 0;
    DRIVER(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 8192));
    DRIVER(cuCtxGetLimit(&limit, CU_LIMIT_STACK_SIZE));
    CHECK(limit >= 8192);
    DRIVER(cuCtxGetLimit(&limit, CU_LIMIT_PRINTF_FIFO_SIZE));
    CHECK(limit > 0);
    DRIVER_FAILS_WITH_ONE_OF(cuCtxGetLimit(&limit, static_cast<CUlimit>(999)),
                             CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_UNSUPPORTED_LIMIT);
    CUfunc_cache cache = CU_FUNC_CACHE_PREFER_EQUAL;
    DRIVER(cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
    DRIVER(cuCtxGetCacheConfig(&cache));
    CHECK(cache == CU_FUNC_CACHE_PREFER_L1 || cache == CU_FUNC_CACHE_PREFER_NONE);
    int least = -99, greatest = -99;
    DRIVER(cuCtxGetStreamPriorityRange(&least, &greatest));
    CHECK(greatest <= least);
    std::printf("limits\n");

    DRIVER(cuCtxDestroy(first));
    DRIVER(cuCtxDestroy(second));
    int active = -1;
    DRIVER(cuDevicePrimaryCtxGetState(device, &flags, &active));
    CHECK(active == 0);
    CUcontext primary, again;
    DRIVER(cuDevicePrimaryCtxRetain(&primary, device));
    DRIVER(cuDevicePrimaryCtxRetain(&again, device));
    CHECK(primary == again);
    DRIVER(cuDevicePrimaryCtxGetState(device, &flags, &active));
    CHECK(active == 1);
    DRIVER(cuCtxSetCurrent(primary));
    DRIVER(cuMemAlloc(&memory, 1024));
    DRIVER(cuMemFree(memory));
    DRIVER(cuDevicePrimaryCtxRelease(device));
    DRIVER(cuDevicePrimaryCtxGetState(device, &flags, &active));
    CHECK(active == 1);
    DRIVER(cuDevicePrimaryCtxRelease(device));
    DRIVER(cuDevicePrimaryCtxGetState(device, &flags, &active));
    CHECK(active == 0);
    DRIVER_FAILS_WITH_ONE_OF(cuDevicePrimaryCtxRelease(device), CUDA_ERROR_INVALID_CONTEXT);
    std::printf("primary contexts\n");
    return 0;
}
