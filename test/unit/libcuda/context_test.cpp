// SPDX-License-Identifier: Apache-2.0
// Contexts: which one is current, and what goes with one that is destroyed.
#include "libcuda/context.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "fake_gpu.h"
#include "libcuda/own_memory.h"

namespace cubar::guest::test {
namespace {

CUcontext current() {
    CUcontext context = nullptr;
    REQUIRE(cuCtxGetCurrent(&context) == CUDA_SUCCESS);
    return context;
}

}  // namespace

TEST_CASE("Each thread has its own stack of contexts", "[context]") {
    Scene scene;
    CHECK(current() == scene.context);
    std::thread([&] {
        CHECK(current() == nullptr);
        CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT);
        CHECK(cuCtxPopCurrent_v2(nullptr) == CUDA_ERROR_INVALID_CONTEXT);
    }).join();
    CUcontext second = nullptr;
    REQUIRE(cuCtxCreate_v2(&second, 0, 1) == CUDA_SUCCESS);
    CHECK(current() == second);
    CUdevice device = -1;
    CHECK(cuCtxGetDevice(&device) == CUDA_SUCCESS);
    CHECK(device == 1);
    CHECK(cuCtxGetDevice_v2(&device, scene.context) == CUDA_SUCCESS);
    CHECK(device == 0);
    REQUIRE(cuCtxPushCurrent_v2(scene.context) == CUDA_SUCCESS);
    CHECK(current() == scene.context);
    CUcontext popped = nullptr;
    REQUIRE(cuCtxPopCurrent_v2(&popped) == CUDA_SUCCESS);
    CHECK(popped == scene.context);
    CHECK(current() == second);
    REQUIRE(cuCtxDestroy_v2(second) == CUDA_SUCCESS);
    CHECK(current() == scene.context);
}

TEST_CASE("A context that another thread destroyed is known as such", "[context]") {
    Scene scene;
    CUcontext second = nullptr;
    REQUIRE(cuCtxCreate_v2(&second, 0, 0) == CUDA_SUCCESS);
    std::thread([&] { REQUIRE(cuCtxDestroy_v2(second) == CUDA_SUCCESS); }).join();
    CHECK(cuCtxSynchronize() == CUDA_ERROR_CONTEXT_IS_DESTROYED);
    CHECK(cuCtxSetCurrent(second) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuCtxPushCurrent_v2(second) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(cuCtxDestroy_v2(second) == CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(cuCtxPopCurrent_v2(nullptr) == CUDA_SUCCESS);
    CHECK(current() == scene.context);
}

TEST_CASE("All that lived in a context goes with it", "[context]") {
    Scene scene;
    CUcontext context = nullptr;
    REQUIRE(cuCtxCreate_v2(&context, 0, 0) == CUDA_SUCCESS);
    const CUstream stream = make_stream();
    const CUfunction function = make_function();
    const CUdeviceptr memory = allocate(100);
    CUevent event = nullptr;
    REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
    REQUIRE(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
    CHECK(cuStreamQuery(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
    const char* name = nullptr;
    CHECK(cuFuncGetName(&name, function) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuMemFree_v2(memory) == CUDA_ERROR_INVALID_VALUE);
    CHECK_FALSE(is_mapped({reinterpret_cast<const std::byte*>(memory), 1}));
    // But not what lives in another.
    CHECK(cuStreamQuery(nullptr) == CUDA_SUCCESS);
}

TEST_CASE("What runtimes keep with a context is freed with it", "[context]") {
    Scene scene;
    CUcontext context = nullptr;
    REQUIRE(cuCtxCreate_v2(&context, 0, 0) == CUDA_SUCCESS);
    const std::weak_ptr<driver::ContextStorage> storage = context_storage(context);
    REQUIRE_FALSE(storage.expired());
    REQUIRE(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
    CHECK(storage.expired());
    CHECK(context_storage(context) == nullptr);
}

TEST_CASE("What kernels printed comes even where nobody waits any more", "[context]") {
    Scene scene;
    scene.gpu.on<wire::cuModuleGetFunction>(
        [](const wire::cuModuleGetFunction::Request&, wire::cuModuleGetFunction::Reply& reply) {
            reply.function = FunctionHandle(1, 200'000);
            reply.prints = 1;
            return CUDA_SUCCESS;
        });
    const auto print_in = [](CUstream stream) {
        REQUIRE(cuLaunchKernel(make_function(), 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr) ==
                CUDA_SUCCESS);
    };
    CUcontext context = nullptr;
    REQUIRE(cuCtxCreate_v2(&context, 0, 0) == CUDA_SUCCESS);
    print_in(nullptr);
    CHECK(scene.gpu.count<wire::output>() == 0);
    REQUIRE(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::output>() == 1);
    // In a stream that is no more when the context is synchronised.
    const CUstream stream = make_stream();
    print_in(stream);
    REQUIRE(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
    REQUIRE(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::output>() == 2);
}

TEST_CASE("A primary context is made once and ends with its last user", "[context]") {
    Scene scene;
    CUcontext first = nullptr;
    CUcontext again = nullptr;
    unsigned flags = 0;
    int active = 1;
    REQUIRE(cuDevicePrimaryCtxGetState(0, &flags, &active) == CUDA_SUCCESS);
    CHECK(active == 0);
    CHECK(cuDevicePrimaryCtxRelease_v2(0) == CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(cuDevicePrimaryCtxRetain(&first, 0) == CUDA_SUCCESS);
    REQUIRE(cuDevicePrimaryCtxRetain(&again, 0) == CUDA_SUCCESS);
    CHECK(first == again);
    CHECK(scene.gpu.count<wire::cuDevicePrimaryCtxRetain>() == 1);
    CHECK(cuCtxDestroy_v2(first) == CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuDevicePrimaryCtxRelease_v2>() == 0);
    REQUIRE(cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuDevicePrimaryCtxRelease_v2>() == 1);
    CHECK(cuCtxSetCurrent(first) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("A reset takes the primary context from all who retain it", "[context]") {
    Scene scene;
    CUcontext first = nullptr;
    CUcontext next = nullptr;
    REQUIRE(cuDevicePrimaryCtxRetain(&first, 1) == CUDA_SUCCESS);
    REQUIRE(cuDevicePrimaryCtxReset_v2(1) == CUDA_SUCCESS);
    CHECK(cuCtxSetCurrent(first) == CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(cuDevicePrimaryCtxRetain(&next, 1) == CUDA_SUCCESS);
    CHECK(next != first);
    REQUIRE(cuDevicePrimaryCtxRelease_v2(1) == CUDA_SUCCESS);
    REQUIRE(cuDevicePrimaryCtxRelease_v2(1) == CUDA_SUCCESS);
    CHECK(cuDevicePrimaryCtxRelease_v2(1) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("One device's context does not keep another device's callers waiting", "[context]") {
    Scene scene;
    CUcontext context = nullptr;
    // While the host makes the context of device 0, another thread asks about device 1.
    std::atomic<bool> making{false};
    std::atomic<bool> answered{false};
    using W = wire::cuDevicePrimaryCtxRetain;
    scene.gpu.on<W>([&](const W::Request&, W::Reply& reply) {
        making = true;
        while (!answered) std::this_thread::yield();
        reply.context = ContextHandle(1, 300'000);
        return CUDA_SUCCESS;
    });
    std::thread other([&] {
        while (!making) std::this_thread::yield();
        unsigned flags = 0;
        int active = 1;
        REQUIRE(cuDevicePrimaryCtxGetState(1, &flags, &active) == CUDA_SUCCESS);
        answered = true;
    });
    REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    other.join();
    REQUIRE(cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
}

TEST_CASE("Attributes that the way through the BAR makes untrue are not claimed", "[context]") {
    Scene scene;
    int value = 7;
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0) == CUDA_SUCCESS);
    CHECK(value == 32);
    // The host has it; nobody can use it from here.
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0) == CUDA_SUCCESS);
    CHECK(value == 0);
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0) == CUDA_SUCCESS);
    CHECK(value == 1);
    // The host's driver did not answer.
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 0) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 2) ==
          CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, -1) ==
          CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE("A forked child must exec before it can use the GPU", "[context]") {
    Scene scene;
    const int child = transport::test::in_child([&] {
        CUcontext context = nullptr;
        int count = 0;
        return cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
                       cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED &&
                       cuCtxCreate_v2(&context, 0, 0) == CUDA_ERROR_NOT_INITIALIZED &&
                       cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED
                   ? 0
                   : 1;
    });
    CHECK(transport::test::exit_of(child) == 0);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

TEST_CASE("Context flags that are none are refused at once", "[context]") {
    Scene scene;
    CUcontext context = nullptr;
    CHECK(cuCtxCreate_v2(&context, 0x8000, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuCtxCreate_v2(&context, 0, FakeGpu::kDevices) == CUDA_ERROR_INVALID_DEVICE);
    CHECK(cuCtxCreate_v2(nullptr, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuCtxSetFlags(0x8000) == CUDA_ERROR_INVALID_VALUE);
    REQUIRE(cuCtxSetFlags(CU_CTX_SCHED_SPIN) == CUDA_SUCCESS);
    unsigned flags = 0;
    CHECK(cuCtxGetFlags(&flags) == CUDA_SUCCESS);
    CHECK(flags == CU_CTX_SCHED_SPIN);
}

}  // namespace cubar::guest::test
