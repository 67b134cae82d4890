// SPDX-License-Identifier: Apache-2.0
// Divergence, reconvergence, calls and barriers.
#include <catch2/catch.hpp>

#include "harness.h"

using namespace cubar::softgpu::exec;
using namespace cubar::softgpu::exec::test;

namespace {

// A kernel k(u64 out): `body` gets the thread's linear index in %tid_, sees registers %a0..7 (b32),
// %d0..7 (b64), %p0..7 (pred), and leaves its answer in %a0.
std::string kernel(const std::string& body, const std::string& before = "") {
    return before + R"(
.visible .entry k(.param .u64 out) {
    .reg .pred %p<8>;
    .reg .b32 %a<8>;
    .reg .b32 %tid_;
    .reg .b64 %d<8>;
    .reg .b64 %to;
    .reg .b32 %x<3>;
    mov.u32 %x0, %ctaid.x;
    mov.u32 %x1, %ntid.x;
    mov.u32 %x2, %tid.x;
    mad.lo.u32 %tid_, %x0, %x1, %x2;
    ld.param.u64 %to, [out];
    mov.u32 %a0, 0;
)" + body + R"(
    mad.wide.u32 %to, %tid_, 4, %to;
    st.global.u32 [%to], %a0;
    ret;
})";
}

std::vector<uint32_t> results(const std::string& text, uint32_t threads, uint32_t blocks = 1) {
    Machine machine(text);
    Buffer<uint32_t> out(machine.map, size_t{threads} * blocks, 0xdeadbeef);
    const auto fault =
        machine.run("k", {blocks, 1, 1}, {threads, 1, 1}, Parameters().add(out.address()));
    INFO((fault ? fault->message : ""));
    REQUIRE_FALSE(fault);
    return out.values();
}

}  // namespace

TEST_CASE("Loops of different length meet again behind the loop") {
    // The ballot behind the loop sees every lane of the warp.
    const auto out = results(kernel(R"(
    mov.u32 %a1, %laneid;
$again:
    setp.eq.u32 %p0, %a1, 0;
    @%p0 bra $out;
    add.u32 %a0, %a0, 3;
    sub.u32 %a1, %a1, 1;
    bra $again;
$out:
    activemask.b32 %a2;
    setp.ne.u32 %p1, %a2, 0xffffffff;
    @%p1 mov.u32 %a0, 999;
)"),
                             64);
    for (uint32_t thread = 0; thread < 64; ++thread) REQUIRE(out[thread] == thread % 32 * 3);
}

TEST_CASE("A loop whose exit stands before its body in the text still ends last") {
    const auto out = results(kernel(R"(
    mov.u32 %a1, %laneid;
    bra $test;
$exit:
    activemask.b32 %a0;
    bra $store;
$body:
    sub.u32 %a1, %a1, 1;
$test:
    setp.eq.u32 %p0, %a1, 0;
    @%p0 bra $exit;
    bra $body;
$store:
)"),
                             32);
    for (const uint32_t mask : out) REQUIRE(mask == 0xffffffff);
}

TEST_CASE("Nested divergence with break and continue") {
    const auto out = results(kernel(R"(
    mov.u32 %a1, 0;
$outer:
    mov.u32 %a2, 0;
$inner:
    add.u32 %a2, %a2, 1;
    and.b32 %a3, %a2, 1;
    setp.eq.u32 %p0, %a3, 1;
    @%p0 bra $next;
    setp.gt.u32 %p1, %a2, %tid_;
    @%p1 bra $broke;
    add.u32 %a0, %a0, %a2;
$next:
    setp.lt.u32 %p2, %a2, 20;
    @%p2 bra $inner;
$broke:
    add.u32 %a1, %a1, 1;
    setp.lt.u32 %p3, %a1, 3;
    @%p3 bra $outer;
    activemask.b32 %a4;
    setp.ne.u32 %p4, %a4, 0xffffffff;
    @%p4 mov.u32 %a0, 999;
)"),
                             32);
    for (uint32_t thread = 0; thread < 32; ++thread) {
        uint32_t sum = 0;
        for (uint32_t value = 2; value <= 20 && value <= thread; value += 2) sum += value;
        REQUIRE(out[thread] == 3 * sum);
    }
}

TEST_CASE("Lanes that return early leave the others alone") {
    Machine machine(kernel(R"(
    and.b32 %a1, %tid_, 3;
    setp.eq.u32 %p0, %a1, 1;
    @%p0 ret;
    setp.eq.u32 %p1, %a1, 2;
    @%p1 exit;
    activemask.b32 %a0;
)"));
    Buffer<uint32_t> out(machine.map, 32, 7);
    REQUIRE_FALSE(machine.run("k", {1, 1, 1}, {32, 1, 1}, Parameters().add(out.address())));
    for (uint32_t thread = 0; thread < 32; ++thread) {
        const bool left = thread % 4 == 1 || thread % 4 == 2;
        REQUIRE(out[thread] == (left ? 7u : 0x99999999u));
    }
}

TEST_CASE("Warps that exit before a barrier are not waited for") {
    const auto out = results(kernel(R"(
    setp.ge.u32 %p0, %tid_, 40;
    @%p0 bra $store;
    bar.sync 0;
    mov.u32 %a0, 1;
$store:
)"),
                             128);
    for (uint32_t thread = 0; thread < 128; ++thread) REQUIRE(out[thread] == (thread < 40 ? 1 : 0));
}

TEST_CASE("Shared memory is seen across a barrier by every warp") {
    const auto out = results(kernel(R"(
    .shared .align 4 .b8 buffer[1024];
    mov.u32 %a1, buffer;
    mad.lo.u32 %a2, %tid_, 4, %a1;
    mul.lo.u32 %a3, %tid_, 5;
    st.shared.u32 [%a2], %a3;
    bar.sync 0;
    xor.b32 %a4, %tid_, 0xff;
    mad.lo.u32 %a2, %a4, 4, %a1;
    ld.shared.u32 %a0, [%a2];
    bar.sync 0;
)"),
                             256);
    for (uint32_t thread = 0; thread < 256; ++thread) REQUIRE(out[thread] == (thread ^ 0xff) * 5);
}

TEST_CASE("bar.red counts, and producers do not wait") {
    const auto out = results(kernel(R"(
    setp.lt.u32 %p0, %tid_, 10;
    bar.red.popc.u32 %a0, 1, %p0;
    bar.red.and.pred %p1, 2, %p0;
    @%p1 add.u32 %a0, %a0, 100;
    bar.red.or.pred %p2, 3, %p0;
    @%p2 add.u32 %a0, %a0, 1000;
    setp.lt.u32 %p3, %tid_, 32;
    @%p3 bra $consume;
    bar.arrive 4, 64;
    bra $store;
$consume:
    bar.sync 4, 64;
$store:
)"),
                             64);
    for (const uint32_t value : out) REQUIRE(value == 1010);
}

TEST_CASE("Recursion keeps a frame for each lane's call") {
    const std::string fib = R"(
.func (.param .b32 result) fib(.param .b32 n) {
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    ld.param.u32 %r1, [n];
    setp.lt.u32 %p1, %r1, 2;
    mov.u32 %r2, %r1;
    @%p1 bra $done;
    add.s32 %r3, %r1, -1;
    {
    .param .b32 p0;
    .param .b32 q0;
    st.param.b32 [p0], %r3;
    call.uni (q0), fib, (p0);
    ld.param.b32 %r4, [q0];
    }
    add.s32 %r5, %r1, -2;
    {
    .param .b32 p0;
    .param .b32 q0;
    st.param.b32 [p0], %r5;
    call.uni (q0), fib, (p0);
    ld.param.b32 %r6, [q0];
    }
    add.u32 %r2, %r4, %r6;
$done:
    st.param.b32 [result], %r2;
    ret;
})";
    const auto out = results(kernel(R"(
    rem.u32 %a1, %tid_, 13;
    {
    .param .b32 p0;
    .param .b32 q0;
    st.param.b32 [p0], %a1;
    call.uni (q0), fib, (p0);
    ld.param.b32 %a0, [q0];
    }
    activemask.b32 %a2;
    setp.ne.u32 %p1, %a2, 0xffffffff;
    @%p1 mov.u32 %a0, 999;
)",
                                    fib),
                             64);
    const uint32_t expected[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};
    for (uint32_t thread = 0; thread < 64; ++thread) REQUIRE(out[thread] == expected[thread % 13]);
}

TEST_CASE("Each lane calls the function that its pointer names") {
    const std::string functions = R"(
.func (.param .b32 r) twice(.param .b32 n) {
    .reg .b32 %r<3>;
    ld.param.u32 %r1, [n];
    add.u32 %r2, %r1, %r1;
    st.param.b32 [r], %r2;
    ret;
}
.func (.param .b32 r) square(.param .b32 n) {
    .reg .b32 %r<3>;
    ld.param.u32 %r1, [n];
    mul.lo.u32 %r2, %r1, %r1;
    st.param.b32 [r], %r2;
    ret;
}
.global .align 8 .u64 table[2] = {twice, square};
)";
    const auto out = results(kernel(R"(
    and.b32 %a1, %tid_, 1;
    mov.u64 %d1, table;
    mad.wide.u32 %d2, %a1, 8, %d1;
    ld.global.u64 %d3, [%d2];
    {
    .param .b32 p0;
    .param .b32 q0;
    st.param.b32 [p0], %tid_;
    prototype_0 : .callprototype (.param .b32 _) _ (.param .b32 _);
    call (q0), %d3, (p0), prototype_0;
    ld.param.b32 %a0, [q0];
    }
)",
                                    functions),
                             32);
    for (uint32_t thread = 0; thread < 32; ++thread) {
        REQUIRE(out[thread] == (thread % 2 == 0 ? 2 * thread : thread * thread));
    }
}

TEST_CASE("Shuffles within groups that name different members") {
    const auto out = results(kernel(R"(
    and.b32 %a1, %tid_, 1;
    setp.eq.u32 %p0, %a1, 0;
    selp.b32 %a2, 0x55555555, 0xaaaaaaaa, %p0;
    shfl.sync.bfly.b32 %a0, %tid_, 2, 0x1f, %a2;
)"),
                             32);
    for (uint32_t thread = 0; thread < 32; ++thread) REQUIRE(out[thread] == (thread ^ 2));
}

TEST_CASE("A shuffle waits for the lanes that come by another path") {
    // The two halves reach the shuffle from different calls of the loop body.
    const auto out = results(kernel(R"(
    setp.lt.u32 %p0, %tid_, 16;
    mov.u32 %a1, 5;
    @%p0 bra $low;
$spin:
    sub.u32 %a1, %a1, 1;
    setp.ne.u32 %p1, %a1, 0;
    @%p1 bra $spin;
    bra $meet;
$low:
    add.u32 %a1, %a1, 1;
$meet:
    shfl.sync.idx.b32 %a0, %tid_, 31, 0x1f, 0xffffffff;
    bar.warp.sync 0xffffffff;
)"),
                             32);
    for (const uint32_t value : out) REQUIRE(value == 31);
}

TEST_CASE("A jump table sends each lane its own way") {
    const auto out = results(kernel(R"(
    rem.u32 %a1, %tid_, 3;
ts: .branchtargets L0, L1, L2;
    brx.idx %a1, ts;
L0: mov.u32 %a0, 10;
    bra $meet;
L1: mov.u32 %a0, 20;
    bra $meet;
L2: mov.u32 %a0, 30;
$meet:
    activemask.b32 %a2;
    setp.ne.u32 %p1, %a2, 0xffffffff;
    @%p1 mov.u32 %a0, 999;
)"),
                             32);
    for (uint32_t thread = 0; thread < 32; ++thread) REQUIRE(out[thread] == thread % 3 * 10 + 10);
}

TEST_CASE("SIMD video instructions select, saturate and sum") {
    const auto out = results(kernel(R"(
    mov.u32 %a1, 0x10f0807f;
    mov.u32 %a2, 0x20200101;
    setp.eq.u32 %p0, %tid_, 0;
    @%p0 vadd4.u32.u32.u32.sat %a0, %a1, %a2, 0;
    setp.eq.u32 %p0, %tid_, 1;
    @%p0 vabsdiff4.u32.u32.u32.add %a0, %a1, %a2, 1000;
    setp.eq.u32 %p0, %tid_, 2;
    @%p0 vset2.u32.u32.gt %a0, %a1, %a2, 0;
    setp.eq.u32 %p0, %tid_, 3;
    @%p0 vmax4.s32.s32.s32 %a0, %a1, %a2, 0;
)"),
                             4);
    REQUIRE(out[0] == 0x30ff8180);
    REQUIRE(out[1] == 1000 + 0x10 + 0xd0 + 0x7f + 0x7e);
    REQUIRE(out[2] == 0x00000001);
    REQUIRE(out[3] == 0x2020017f);
}

TEST_CASE("A grid that the caller begins itself ends right, small or large, whole or not") {
    // Each block but the last of its grid waits for the one after it: no order of starting them one
    // after the other, each to its end, gets through.
    Machine machine(R"(
.visible .entry chain(.param .u64 flags) {
    .reg .pred %p;
    .reg .b32 %r<6>;
    .reg .b64 %d<4>;
    ld.param.u64 %d0, [flags];
    mov.u32 %r0, %ctaid.x;
    mov.u32 %r1, %nctaid.x;
    mul.wide.u32 %d1, %r0, 4;
    add.u64 %d0, %d0, %d1;
    add.u32 %r2, %r0, 1;
    setp.eq.u32 %p, %r2, %r1;
    @%p bra DONE;
WAIT:
    ld.acquire.gpu.global.u32 %r3, [%d0+4];
    setp.eq.u32 %p, %r3, 0;
    @%p bra WAIT;
DONE:
    st.release.gpu.global.u32 [%d0], 1;
    ret;
}
.visible .entry bad() {
    .reg .b64 %d0;
    mov.u64 %d0, 64;
    st.global.u32 [%d0], 1;
    ret;
})");
    const auto run = [&](std::string_view name, uint32_t blocks, uint32_t threads,
                         const Parameters& parameters) {
        const Kernel* const kernel = machine.program->kernel(name);
        REQUIRE(kernel != nullptr);
        REQUIRE(machine.program->prepare(*kernel, machine.log));
        LaunchConfig config;
        config.grid = {blocks, 1, 1};
        config.block = {threads, 1, 1};
        config.parameters = parameters.bytes();
        return machine.executor.run(machine.program, *kernel, config, machine.map);
    };
    for (const uint32_t blocks : {1u, 2u, 7u, 200u}) {
        for (const uint32_t threads : {1u, 64u}) {
            Buffer<uint32_t> flags(machine.map, blocks);
            REQUIRE_FALSE(run("chain", blocks, threads, Parameters().add(flags.address())));
            for (const uint32_t flag : flags.values()) REQUIRE(flag == 1);
        }
    }
    for (const uint32_t blocks : {1u, 2u, 200u}) {
        const auto fault = run("bad", blocks, 32, {});
        REQUIRE(fault);
        REQUIRE(fault->kind == FaultKind::kIllegalAddress);
        REQUIRE(fault->address == 64);
    }
}
