// SPDX-License-Identifier: Apache-2.0
// A GPU made ready for measuring: one context, kernels that do nothing.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace cubar::bench {

/// Ends the program, saying which call failed.
inline void require(CUresult result, const char* call) {
    if (result == CUDA_SUCCESS) return;
    const char* name = nullptr;
    cuGetErrorName(result, &name);
    std::fprintf(stderr, "%s: %s\n", call, name != nullptr ? name : "unknown error");
    std::exit(1);
}
#define CUBAR_REQUIRE(call) ::cubar::bench::require((call), #call)

/// Kernels with 4 and with 16 parameters, as llama.cpp's have: pointers and numbers.
inline constexpr const char* kKernels = R"(.version 8.0
.target sm_75
.address_size 64
.visible .entry four(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n) { ret; }
.visible .entry sixteen(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d,
    .param .u32 e, .param .u32 f, .param .u32 g, .param .u32 h,
    .param .u64 i, .param .u64 j, .param .u64 k, .param .u64 l,
    .param .f32 m, .param .f32 n, .param .u32 o, .param .u32 p) { ret; }
)";

/// Device 0's primary context, current in the thread that made it.
class Gpu {
public:
    Gpu() {
        CUBAR_REQUIRE(cuInit(0));
        CUBAR_REQUIRE(cuDeviceGet(&device_, 0));
        CUBAR_REQUIRE(cuDevicePrimaryCtxRetain(&context_, device_));
        CUBAR_REQUIRE(cuCtxSetCurrent(context_));
        CUBAR_REQUIRE(cuModuleLoadData(&module_, kKernels));
        CUBAR_REQUIRE(cuModuleGetFunction(&four_, module_, "four"));
        CUBAR_REQUIRE(cuModuleGetFunction(&sixteen_, module_, "sixteen"));
        CUBAR_REQUIRE(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
        arguments_.fill(&zero_);
    }
    Gpu(const Gpu&) = delete;
    Gpu& operator=(const Gpu&) = delete;
    ~Gpu() {
        cuStreamDestroy(stream_);
        cuModuleUnload(module_);
        cuDevicePrimaryCtxRelease(device_);
    }

    CUdevice device() const { return device_; }
    CUstream stream() const { return stream_; }
    CUfunction four() const { return four_; }
    CUfunction sixteen() const { return sixteen_; }

    CUresult launch(CUfunction function) {
        return cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream_, arguments_.data(), nullptr);
    }
    void finish() const { CUBAR_REQUIRE(cuStreamSynchronize(stream_)); }

private:
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
    CUmodule module_ = nullptr;
    CUfunction four_ = nullptr;
    CUfunction sixteen_ = nullptr;
    CUstream stream_ = nullptr;
    std::size_t zero_ = 0;
    std::array<void*, 16> arguments_{};
};

}  // namespace cubar::bench
