// SPDX-License-Identifier: Apache-2.0
// What the tests of the C API begin with.
#pragma once

#include <cuda.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>

#define SUCCEEDS(call) REQUIRE((call) == CUDA_SUCCESS)

namespace cubar::softgpu::test {

// add(values, amount, count): values[i] += amount; out(): writes to address 8; spin(word): until
// set.
inline constexpr const char* kPtx = R"(
.version 7.5
.target sm_75
.address_size 64

.global .align 4 .u32 counter = 5;

.visible .entry add(.param .u64 values, .param .u32 amount, .param .u32 count)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [values];
    ld.param.u32 %r1, [amount];
    ld.param.u32 %r2, [count];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r2;
    @%p1 bra done;
    mul.wide.u32 %rd2, %r6, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r7, [%rd3];
    add.s32 %r7, %r7, %r1;
    st.global.u32 [%rd3], %r7;
done:
    ret;
}

.visible .entry out()
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<2>;
    mov.u64 %rd1, 8;
    mov.u32 %r1, 1;
    st.global.u32 [%rd1], %r1;
    ret;
}

.visible .entry small() .maxntid 64, 1, 1
{
    ret;
}
)";

struct Context {
    Context() {
        SUCCEEDS(cuInit(0));
        SUCCEEDS(cuCtxCreate(&context, nullptr, 0, 0));
    }
    ~Context() { cuCtxDestroy(context); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    CUcontext context = nullptr;
};

struct Code : Context {
    Code() { SUCCEEDS(cuModuleLoadData(&module, kPtx)); }

    CUfunction function(const char* name) {
        CUfunction found = nullptr;
        SUCCEEDS(cuModuleGetFunction(&found, module, name));
        return found;
    }
    CUmodule module = nullptr;
};

/// A word that streams wait for.
struct Word {
    Word() {
        SUCCEEDS(cuMemHostAlloc(reinterpret_cast<void**>(&value), 4, 0));
        *value = 0;
    }
    ~Word() { cuMemFreeHost(value); }
    Word(const Word&) = delete;
    Word& operator=(const Word&) = delete;

    void hold(CUstream stream) {
        SUCCEEDS(cuStreamWaitValue32(stream, reinterpret_cast<CUdeviceptr>(value), 1,
                                     CU_STREAM_WAIT_VALUE_EQ));
    }
    void release() { std::atomic_ref(*value).store(1, std::memory_order_release); }

    std::uint32_t* value = nullptr;
};

}  // namespace cubar::softgpu::test
