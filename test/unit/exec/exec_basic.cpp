// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "harness.h"

using namespace cubar::softgpu::exec;
using namespace cubar::softgpu::exec::test;

TEST_CASE("Vector addition over many blocks, the last one partly idle") {
    Machine machine(R"(
.visible .entry add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n) {
    .reg .pred %p<2>;
    .reg .f32 %f<4>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<11>;
    ld.param.u64 %rd1, [a];
    ld.param.u64 %rd2, [b];
    ld.param.u64 %rd3, [c];
    ld.param.u32 %r2, [n];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r1, %r3, %r4, %r5;
    setp.ge.s32 %p1, %r1, %r2;
    @%p1 bra $done;
    cvta.to.global.u64 %rd4, %rd1;
    mul.wide.s32 %rd5, %r1, 4;
    add.s64 %rd6, %rd4, %rd5;
    cvta.to.global.u64 %rd7, %rd2;
    add.s64 %rd8, %rd7, %rd5;
    ld.global.f32 %f1, [%rd8];
    ld.global.f32 %f2, [%rd6];
    add.f32 %f3, %f2, %f1;
    cvta.to.global.u64 %rd9, %rd3;
    add.s64 %rd10, %rd9, %rd5;
    st.global.f32 [%rd10], %f3;
$done:
    ret;
})");
    constexpr uint32_t kCount = 1000;
    Buffer<float> a(machine.map, kCount), b(machine.map, kCount), c(machine.map, kCount);
    for (uint32_t index = 0; index < kCount; ++index) {
        a[index] = float(index);
        b[index] = 0.5f * float(index);
    }
    Parameters parameters;
    parameters.add(a.address()).add(b.address()).add(c.address()).add(kCount);
    REQUIRE_FALSE(machine.run("add", {8, 1, 1}, {128, 1, 1}, parameters));
    for (uint32_t index = 0; index < kCount; ++index) {
        REQUIRE(c[index] == 1.5f * float(index));
    }
}
