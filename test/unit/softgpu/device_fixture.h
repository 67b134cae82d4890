// SPDX-License-Identifier: Apache-2.0
// A context with a kernel that stores one word, for tests of who may touch which memory when.
#pragma once

#include <cuda.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>

#define SUCCEEDS(call) REQUIRE((call) == CUDA_SUCCESS)

inline constexpr std::size_t kPage = std::size_t{2} << 20;

struct DeviceFixture {
    DeviceFixture() {
        SUCCEEDS(cuInit(0));
        SUCCEEDS(cuCtxCreate(&context, nullptr, 0, 0));
        SUCCEEDS(cuModuleLoadData(&module, kPtx));
        SUCCEEDS(cuModuleGetFunction(&store, module, "store"));
    }
    ~DeviceFixture() { cuCtxDestroy(context); }
    DeviceFixture(const DeviceFixture&) = delete;
    DeviceFixture& operator=(const DeviceFixture&) = delete;

    /// A kernel stores `value` there.
    void launch_store(CUdeviceptr address, unsigned value, CUstream stream = nullptr) {
        void* parameters[] = {&address, &value};
        SUCCEEDS(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr));
    }
    static unsigned load(CUdeviceptr address) {
        unsigned value = 0;
        SUCCEEDS(cuMemcpyDtoH(&value, address, sizeof value));
        return value;
    }
    static std::size_t available() {
        std::size_t free = 0, total = 0;
        SUCCEEDS(cuMemGetInfo(&free, &total));
        return free;
    }

    CUcontext context = nullptr;
    CUmodule module = nullptr;
    CUfunction store = nullptr;

private:
    static constexpr const char* kPtx = R"(
.version 7.5
.target sm_75
.address_size 64
.visible .entry store(.param .u64 address, .param .u32 value)
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [address];
    ld.param.u32 %r1, [value];
    st.global.u32 [%rd1], %r1;
    ret;
}
)";
};

/// Holds a stream until it is released.
struct Hold {
    explicit Hold(CUstream stream) {
        SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&word), 4, 0));
        *word = 0;
        SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(word), 1,
                                     CU_STREAM_WAIT_VALUE_EQ));
    }
    ~Hold() {
        release();
        cuMemFreeHost(word);
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    void release() { std::atomic_ref(*word).store(1, std::memory_order_release); }

    std::uint32_t* word = nullptr;
};
