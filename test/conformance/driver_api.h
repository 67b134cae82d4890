// SPDX-License-Identifier: Apache-2.0
// What the programs on the driver API share: checks, a device with its context, a PTX module.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <initializer_list>

#include "conformance.h"

namespace conformance {

inline const char* name_of(CUresult result) {
    const char* name = nullptr;
    return cuGetErrorName(result, &name) == CUDA_SUCCESS ? name : "an unknown error";
}

inline void expect(CUresult got, CUresult want, const char* call, const char* file, int line) {
    if (got != want) fail(file, line, "%s: got %s, expected %s", call, name_of(got), name_of(want));
}

/// For what drivers answer differently: any of the named errors.
inline void expect_one_of(CUresult got, std::initializer_list<CUresult> wanted, const char* call,
                          const char* file, int line) {
    if (std::find(wanted.begin(), wanted.end(), got) == wanted.end())
        fail(file, line, "%s: got %s", call, name_of(got));
}

/// Initialises the driver and makes the primary context of device 0 current while it lives.
class PrimaryContext {
public:
    PrimaryContext() {
        expect(cuInit(0), CUDA_SUCCESS, "cuInit", __FILE__, __LINE__);
        expect(cuDeviceGet(&device_, 0), CUDA_SUCCESS, "cuDeviceGet", __FILE__, __LINE__);
        expect(cuDevicePrimaryCtxRetain(&context_, device_), CUDA_SUCCESS,
               "cuDevicePrimaryCtxRetain", __FILE__, __LINE__);
        expect(cuCtxSetCurrent(context_), CUDA_SUCCESS, "cuCtxSetCurrent", __FILE__, __LINE__);
    }
    PrimaryContext(const PrimaryContext&) = delete;
    PrimaryContext& operator=(const PrimaryContext&) = delete;
    ~PrimaryContext() { cuDevicePrimaryCtxRelease(device_); }

    CUdevice device() const { return device_; }
    CUcontext context() const { return context_; }

private:
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
};

/// `scale(values, count, factor)`: values[i] = values[i] * factor + bias * table[i % 4].
inline constexpr char kScalePtx[] = R"(.version 7.5
.target sm_75
.address_size 64

.visible .global .align 4 .u32 bias = 5;
.visible .const .align 4 .u32 table[4] = {1, 2, 3, 4};

.visible .entry scale(
    .param .u64 scale_values,
    .param .u32 scale_count,
    .param .u32 scale_factor
)
{
    .reg .pred %p<2>;
    .reg .b32 %r<13>;
    .reg .b64 %rd<8>;

    ld.param.u64 %rd1, [scale_values];
    ld.param.u32 %r1, [scale_count];
    ld.param.u32 %r2, [scale_factor];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r1;
    @%p1 bra done;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r6, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.u32 %r7, [%rd4];
    and.b32 %r8, %r6, 3;
    mul.wide.u32 %rd5, %r8, 4;
    mov.u64 %rd6, table;
    add.s64 %rd7, %rd6, %rd5;
    ld.const.u32 %r9, [%rd7];
    ld.global.u32 %r10, [bias];
    mul.lo.u32 %r11, %r9, %r10;
    mad.lo.u32 %r12, %r7, %r2, %r11;
    st.global.u32 [%rd4], %r12;
done:
    ret;
}
)";

/// What one run of `scale` makes of a value.
constexpr unsigned scaled(unsigned value, unsigned i, unsigned factor, unsigned bias = 5) {
    return value * factor + bias * (i % 4 + 1);
}

}  // namespace conformance

/// Ends the program unless the driver call succeeds.
#define DRIVER(call) conformance::expect((call), CUDA_SUCCESS, #call, __FILE__, __LINE__)

/// Ends the program unless the driver call fails with exactly this error.
#define DRIVER_FAILS(call, error) conformance::expect((call), (error), #call, __FILE__, __LINE__)

/// Ends the program unless the driver call fails with one of these errors.
#define DRIVER_FAILS_WITH_ONE_OF(call, ...) \
    conformance::expect_one_of((call), {__VA_ARGS__}, #call, __FILE__, __LINE__)
