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

TEST_CASE("Threads know their place in blocks of every shape") {
    Machine machine(R"(
.visible .entry place(.param .u64 out) {
    .reg .b32 %r<12>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %tid.y;
    mov.u32 %r3, %tid.z;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %ntid.y;
    mad.lo.u32 %r6, %r3, %r5, %r2;
    mad.lo.u32 %r6, %r6, %r4, %r1;
    shl.b32 %r7, %r2, 8;
    or.b32 %r7, %r7, %r1;
    shl.b32 %r8, %r3, 16;
    or.b32 %r7, %r7, %r8;
    mov.u32 %r9, %laneid;
    shl.b32 %r9, %r9, 24;
    or.b32 %r7, %r7, %r9;
    mul.wide.u32 %rd2, %r6, 4;
    add.s64 %rd1, %rd1, %rd2;
    st.global.u32 [%rd1], %r7;
    ret;
})");
    const Dim3 shapes[] = {{1, 1, 1},  {48, 1, 1}, {32, 3, 2}, {64, 2, 1},
                           {33, 2, 2}, {16, 4, 1}, {5, 7, 3},  {8, 1, 9}};
    for (const Dim3& shape : shapes) {
        CAPTURE(shape.x, shape.y, shape.z);
        const uint32_t threads = shape.x * shape.y * shape.z;
        Buffer<uint32_t> out(machine.map, threads, ~0U);
        Parameters parameters;
        parameters.add(out.address());
        REQUIRE_FALSE(machine.run("place", {1, 1, 1}, shape, parameters));
        uint32_t thread = 0;
        for (uint32_t z = 0; z < shape.z; ++z) {
            for (uint32_t y = 0; y < shape.y; ++y) {
                for (uint32_t x = 0; x < shape.x; ++x, ++thread) {
                    REQUIRE(out[thread] == (thread % 32 << 24 | z << 16 | y << 8 | x));
                }
            }
        }
    }
}
