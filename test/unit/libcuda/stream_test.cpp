// SPDX-License-Identifier: Apache-2.0
// What synchronising waits for, when it needs the host, and whom errors are told.
#include <catch2/catch.hpp>
#include <thread>

#include "fake_gpu.h"
#include "libcuda/objects.h"

namespace cubar::guest::test {
namespace {

void launch(CUfunction function, CUstream stream) {
    int argument = 1;
    void* arguments[] = {&argument};
    REQUIRE(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, arguments, nullptr) ==
            CUDA_SUCCESS);
}

}  // namespace

TEST_CASE("Synchronising with work that is done sends nothing", "[stream]") {
    Scene scene;
    const CUstream stream = make_stream();
    const CUfunction function = make_function();
    launch(function, stream);
    make_stream();  // answered after what came before
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    CHECK(cuStreamQuery(stream) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 0);
    CHECK(scene.gpu.count<wire::cuStreamQuery>() == 0);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 0);
}

TEST_CASE("A stream whose fence does not come is asked for, once", "[stream]") {
    Scene scene;
    const CUstream stream = make_stream();
    const CUfunction function = make_function();
    scene.gpu.complete_at_once(false);
    launch(function, stream);
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 1);
    // The host has said so.
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 1);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 0);
}

TEST_CASE("A context waits for the work of streams that were destroyed", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    const CUstream stream = make_stream();
    scene.gpu.complete_at_once(false);
    launch(function, stream);
    REQUIRE(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 1);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 1);
}

TEST_CASE("The legacy stream waits for blocking streams that were destroyed", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    launch(function, nullptr);
    const CUstream blocking = make_stream(CU_STREAM_DEFAULT);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    scene.gpu.complete_at_once(false);
    launch(function, other);
    REQUIRE(cuStreamDestroy_v2(other) == CUDA_SUCCESS);
    REQUIRE(cuStreamDestroy_v2(make_stream(CU_STREAM_DEFAULT)) == CUDA_SUCCESS);
    launch(function, blocking);
    REQUIRE(cuStreamDestroy_v2(blocking) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 1);
    // Nothing new went there.
    CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 1);
}

TEST_CASE("A context waits for the work of threads that have ended", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    scene.gpu.complete_at_once(false);
    std::thread([&] {
        REQUIRE(cuCtxSetCurrent(scene.context) == CUDA_SUCCESS);
        launch(function, CU_STREAM_PER_THREAD);
    }).join();
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuCtxSynchronize>() == 1);
}

TEST_CASE("A destroyed stream is no stream", "[stream]") {
    Scene scene;
    const CUstream stream = make_stream();
    REQUIRE(cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
    CHECK(cuStreamDestroy_v2(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamQuery(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuMemsetD8Async(1, 0, 1, stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamDestroy_v2(nullptr) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamDestroy_v2(CU_STREAM_LEGACY) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(scene.gpu.count<wire::cuStreamDestroy_v2>() == 1);
}

TEST_CASE("A thread's streams are its own, one for each context", "[stream]") {
    Scene scene;
    CUcontext second = nullptr;
    REQUIRE(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
    REQUIRE(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::thread_stream>() == 1);
    REQUIRE(cuCtxCreate_v2(&second, 0, 0) == CUDA_SUCCESS);
    REQUIRE(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::thread_stream>() == 2);
    REQUIRE(cuCtxDestroy_v2(second) == CUDA_SUCCESS);
    REQUIRE(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::thread_stream>() == 2);
}

TEST_CASE("An event that was never recorded is complete, a recorded one when its stream is there",
          "[stream]") {
    Scene scene;
    const CUstream stream = make_stream();
    CUevent event = nullptr;
    REQUIRE(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS);
    CHECK(cuEventQuery(event) == CUDA_SUCCESS);
    CHECK(cuEventSynchronize(event) == CUDA_SUCCESS);
    CHECK(cuStreamWaitEvent(stream, event, 0) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuStreamWaitEvent>() == 0);

    scene.gpu.complete_at_once(false);
    REQUIRE(cuEventRecord(event, stream) == CUDA_SUCCESS);
    scene.gpu.fail<wire::cuEventQuery>(CUDA_ERROR_NOT_READY);
    CHECK(cuEventQuery(event) == CUDA_ERROR_NOT_READY);
    CHECK(cuEventSynchronize(event) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuEventSynchronize>() == 1);
    // From here on the guest knows.
    CHECK(cuEventQuery(event) == CUDA_SUCCESS);
    CHECK(cuStreamWaitEvent(stream, event, 0) == CUDA_SUCCESS);
    make_stream();  // answered after what came before
    CHECK(scene.gpu.count<wire::cuStreamWaitEvent>() == 1);

    REQUIRE(cuEventDestroy_v2(event) == CUDA_SUCCESS);
    CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventRecord(event, stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamWaitEvent(stream, event, 0) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("An event is recorded in a stream of its own context only", "[stream]") {
    Scene scene;
    CUevent event = nullptr;
    REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
    CUcontext other = nullptr;
    REQUIRE(cuCtxCreate_v2(&other, 0, 1) == CUDA_SUCCESS);
    CHECK(cuEventRecord(event, make_stream()) == CUDA_ERROR_INVALID_HANDLE);
    // To wait for it is allowed anywhere.
    CHECK(cuStreamWaitEvent(make_stream(), event, 0) == CUDA_SUCCESS);
    REQUIRE(cuCtxDestroy_v2(other) == CUDA_SUCCESS);
}

TEST_CASE("An error that ends a context is what every call in it returns", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    scene.gpu.defer_error(CUDA_ERROR_ILLEGAL_ADDRESS, scene.context, 1000);
    int argument = 0;
    void* arguments[] = {&argument};
    for (int round = 0; round < 2; ++round) {
        CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
        CHECK(cuStreamQuery(nullptr) == CUDA_ERROR_ILLEGAL_ADDRESS);
        CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr) ==
              CUDA_ERROR_ILLEGAL_ADDRESS);
        CUdeviceptr memory = 0;
        CHECK(cuMemAlloc_v2(&memory, 16) == CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    // In it alone.
    CUcontext other = nullptr;
    REQUIRE(cuCtxCreate_v2(&other, 0, 0) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    REQUIRE(cuCtxDestroy_v2(other) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE("An error that does not end its context is told once", "[stream]") {
    Scene scene;
    scene.gpu.defer_error(CUDA_ERROR_INVALID_VALUE, scene.context, 2000);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    scene.gpu.defer_error(CUDA_ERROR_INVALID_VALUE, scene.context, 3000);
    CHECK(cuStreamQuery(nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuStreamQuery(nullptr) == CUDA_SUCCESS);
}

TEST_CASE("A stream that runs ahead waits for its own earlier work", "[stream]") {
    Scene scene;
    const CUstream stream = make_stream();
    const CUfunction function = make_function();
    scene.gpu.complete_at_once(false);
    for (unsigned number = 1; number < kMaxUnfinished; ++number) launch(function, stream);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 0);
    launch(function, stream);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 1);
    for (unsigned number = 0; number < kMaxUnfinished; ++number) launch(function, stream);
    CHECK(scene.gpu.count<wire::cuStreamSynchronize>() == 2);
}

TEST_CASE("What is wrong with a launch is said at once, and nothing is sent", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    int argument = 0;
    void* arguments[] = {&argument};
    void* nothing[] = {nullptr};
    const auto try_launch = [&](unsigned grid, unsigned block_x, unsigned block_z, CUstream stream,
                                void** each) {
        return cuLaunchKernel(function, grid, 1, 1, block_x, 1, block_z, 0, stream, each, nullptr);
    };
    CHECK(try_launch(0, 1, 1, nullptr, arguments) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 0, 1, nullptr, arguments) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 1025, 1, nullptr, arguments) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 32, 64, nullptr, arguments) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 1, 65, nullptr, arguments) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 1, 1, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 1, 1, nullptr, nothing) == CUDA_ERROR_INVALID_VALUE);
    CHECK(try_launch(1, 1, 1, reinterpret_cast<CUstream>(0x1234), arguments) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr) ==
          CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(try_launch(1, 1, 1, nullptr, arguments) == CUDA_SUCCESS);
    make_stream();
    CHECK(scene.gpu.count<wire::cuLaunchKernel>() == 1);
}

TEST_CASE("Parameters arrive from pointers and from a buffer alike", "[stream]") {
    Scene scene;
    const CUfunction function = make_function();
    int argument = 12345;
    void* arguments[] = {&argument};
    std::size_t bytes = sizeof argument;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &argument, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    REQUIRE(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr) ==
            CUDA_SUCCESS);
    REQUIRE(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, extra) ==
          CUDA_ERROR_INVALID_VALUE);
    bytes = 3;
    CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra) ==
          CUDA_ERROR_INVALID_VALUE);
    make_stream();
    const auto launches = scene.gpu.sent<wire::cuLaunchKernel>();
    REQUIRE(launches.size() == 2);
    for (const Sent& one : launches) {
        int arrived = 0;
        std::memcpy(&arrived, one.payload<wire::cuLaunchKernel>().data(), sizeof arrived);
        CHECK(arrived == argument);
    }
}

}  // namespace cubar::guest::test
