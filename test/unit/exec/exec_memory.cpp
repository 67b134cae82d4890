// SPDX-License-Identifier: Apache-2.0
// Faults, atomics, locks, printf, assert, cancellation.
#include <array>
#include <catch2/catch.hpp>

#include "harness.h"

using namespace cubar::softgpu::exec;
using namespace cubar::softgpu::exec::test;

namespace {

// The fault of a warp that executes `access`, which stands from line 14 on.
std::optional<Fault> poke(const std::string& access) {
    const std::string text = R"(
.visible .entry poke(.param .u64 at) {
    .reg .b64 %at;
    .reg .b64 %v<4>;
    .reg .b32 %r<4>;
    .reg .b16 %h<4>;
    ld.param.u64 %at, [at];
    mov.u64 %v0, 0;
    mov.u64 %v1, 0;
    )" + access + R"(
    ret;
})";
    Machine machine(text);
    return machine.run("poke", {1, 1, 1}, {32, 1, 1}, Parameters().add(uint64_t{0}));
}

}  // namespace

TEST_CASE("A thread that takes more than the stack ends its grid") {
    // 16 times the 1024 bytes that are the limit unless said otherwise.
    CHECK_FALSE(poke("alloca.u64 %v0, 16000; st.local.b32 [%v0], 0;"));
    for (const char* const access :
         {"alloca.u64 %v0, 17000;", "alloca.u64 %v0, 0xffffffffffffffff;",
          "alloca.u64 %v0, 16000; alloca.u64 %v0, 600;",
          "mov.u64 %v0, 99999; stackrestore.u64 %v0;",
          "stacksave.u64 %v0; add.u64 %v0, %v0, 16; stackrestore.u64 %v0;"}) {
        INFO(access);
        const std::optional<Fault> fault = poke(access);
        REQUIRE(fault);
        const bool restores = std::string_view(access).find("restore") != std::string_view::npos;
        CHECK(fault->kind ==
              (restores ? FaultKind::kIllegalInstruction : FaultKind::kStackOverflow));
        CHECK(fault->line == 13);
    }
}

TEST_CASE("A global range is exact to the byte") {
    struct Case {
        const char* access;
        uint64_t size;
    };
    const Case cases[] = {{"ld.global.u8 %r0, [%at];", 1},
                          {"ld.global.u16 %h0, [%at];", 2},
                          {"st.global.u32 [%at], %r0;", 4},
                          {"ld.global.b64 %v0, [%at];", 8},
                          {"st.global.v2.b64 [%at], {%v0, %v1};", 16},
                          {"ld.u32 %r0, [%at];", 4},
                          {"atom.global.add.u32 %r0, [%at], 1;", 4}};
    alignas(64) static std::byte memory[256];
    const auto base = reinterpret_cast<uint64_t>(memory);
    for (const Case& test : cases) {
        const std::string text = std::string(R"(
.visible .entry poke(.param .u64 at) {
    .reg .b64 %at;
    .reg .b64 %v<4>;
    .reg .b32 %r<4>;
    .reg .b16 %h<4>;
    ld.param.u64 %at, [at];
    mov.u64 %v0, 0;
    mov.u64 %v1, 0;
    mov.u32 %r0, 0;
    )") + test.access + "\n ret; }";
        INFO(test.access);
        Machine machine(text);
        REQUIRE(machine.map.add(base + 64, 128));
        const auto run = [&](uint64_t at) {
            return machine.run("poke", {1, 1, 1}, {32, 1, 1}, Parameters().add(at));
        };
        REQUIRE_FALSE(run(base + 64));
        REQUIRE_FALSE(run(base + 64 + 128 - test.size));
        for (const uint64_t bad :
             {base + 64 - test.size, base + 64 + 128, uint64_t{0}, ~uint64_t{0} & ~uint64_t{15}}) {
            const auto fault = run(bad);
            REQUIRE(fault);
            REQUIRE(fault->kind == FaultKind::kIllegalAddress);
            REQUIRE(fault->address == bad);
            REQUIRE(fault->kernel == "poke");
            REQUIRE(fault->line == 14);
        }
        if (test.size > 1) {
            const auto fault = run(base + 64 + test.size / 2);
            REQUIRE(fault);
            REQUIRE(fault->kind == FaultKind::kMisalignedAddress);
        }
    }
}

TEST_CASE("Accesses beyond shared and local memory are illegal") {
    const auto shared = poke(R"(
    .shared .align 4 .b8 here[64];
    mov.u32 %r0, here;
    st.shared.u32 [%r0+60], %r1;
    st.shared.u32 [%r0+64], %r1;
)");
    REQUIRE(shared);
    REQUIRE(shared->kind == FaultKind::kIllegalAddress);
    REQUIRE(shared->line == 17);

    const auto local = poke(R"(
    .local .align 4 .b8 here[64];
    mov.u64 %v0, here;
    cvta.local.u64 %v1, %v0;
    st.u32 [%v1+60], %r1;
    st.u32 [%v1+1048576], %r1;
)");
    REQUIRE(local);
    REQUIRE(local->kind == FaultKind::kIllegalAddress);
    REQUIRE(local->line == 18);
}

TEST_CASE("Endless recursion is a stack overflow, trap is a trap") {
    Machine machine(R"(
.func deeper(.param .b64 n) {
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [n];
    {
    .param .b64 p0;
    st.param.b64 [p0], %d1;
    call.uni deeper, (p0);
    }
    ret;
}
.visible .entry endless() {
    .reg .b64 %d<2>;
    mov.u64 %d1, 0;
    {
    .param .b64 p0;
    st.param.b64 [p0], %d1;
    call.uni deeper, (p0);
    }
    ret;
}
.visible .entry trapped() {
    trap;
    ret;
})");
    const auto deep = machine.run("endless", {1, 1, 1}, {32, 1, 1}, {});
    REQUIRE(deep);
    REQUIRE(deep->kind == FaultKind::kStackOverflow);
    const auto trapped = machine.run("trapped", {1, 1, 1}, {1, 1, 1}, {});
    REQUIRE(trapped);
    REQUIRE(trapped->kind == FaultKind::kTrap);
}

TEST_CASE("Atomic additions of many blocks lose nothing") {
    Machine machine(R"(
.visible .entry count(.param .u64 to) {
    .reg .b64 %d1;
    .reg .b32 %r<3>;
    .reg .f32 %f1;
    .reg .f64 %g1;
    .reg .pred %p1;
    ld.param.u64 %d1, [to];
    mov.u32 %r1, 0;
$again:
    red.global.add.u32 [%d1], 1;
    atom.global.add.f32 %f1, [%d1+4], 0f3F800000;
    atom.global.add.f64 %g1, [%d1+8], 0d3FF0000000000000;
    atom.global.max.u32 %r2, [%d1+16], %r1;
    add.u32 %r1, %r1, 1;
    setp.lt.u32 %p1, %r1, 10;
    @%p1 bra $again;
    ret;
})");
    struct Counters {
        uint32_t integer = 0;
        float single = 0;
        double number = 0;
        uint64_t largest = 0;
    };
    Buffer<Counters> counters(machine.map, 1);
    REQUIRE_FALSE(
        machine.run("count", {40, 1, 1}, {96, 1, 1}, Parameters().add(counters.address())));
    REQUIRE(counters[0].integer == 38400);
    REQUIRE(counters[0].single == 38400.0f);
    REQUIRE(counters[0].number == 38400.0);
    REQUIRE(counters[0].largest == 9);
}

TEST_CASE("A spin lock that every thread of every block takes") {
    const char* const text = R"(
.visible .entry locked(.param .u64 to) {
    .reg .b64 %d1;
    .reg .b32 %r<4>;
    .reg .pred %p1;
    ld.param.u64 %d1, [to];
$spin:
    atom.global.cas.b32 %r1, [%d1], 0, 1;
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra $spin;
    ld.volatile.global.u32 %r2, [%d1+4];
    add.u32 %r2, %r2, 1;
    st.volatile.global.u32 [%d1+4], %r2;
    membar.gl;
    atom.global.exch.b32 %r3, [%d1], 0;
    ret;
})";
    // With one thread of the pool too: whoever holds the lock must get to run.
    for (const unsigned threads : {1u, 3u}) {
        Machine machine(text, threads);
        Buffer<uint32_t> lock(machine.map, 2);
        REQUIRE_FALSE(
            machine.run("locked", {8, 1, 1}, {64, 1, 1}, Parameters().add(lock.address())));
        REQUIRE(lock[1] == 512);
    }
}

TEST_CASE("Blocks that wait for a later block make progress on one thread") {
    Machine machine(R"(
.visible .entry chain(.param .u64 to) {
    .reg .b64 %d1;
    .reg .b32 %r<4>;
    .reg .pred %p1;
    ld.param.u64 %d1, [to];
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %nctaid.x;
    sub.u32 %r2, %r2, %r1;
    sub.u32 %r2, %r2, 1;
$wait:
    ld.acquire.gpu.global.u32 %r3, [%d1];
    setp.ne.u32 %p1, %r3, %r2;
    @%p1 bra $wait;
    add.u32 %r3, %r3, 1;
    st.release.gpu.global.u32 [%d1], %r3;
    ret;
})",
                    1);
    Buffer<uint32_t> turn(machine.map, 1);
    REQUIRE_FALSE(machine.run("chain", {20, 1, 1}, {1, 1, 1}, Parameters().add(turn.address())));
    REQUIRE(turn[0] == 20);
}

TEST_CASE("A barrier that some threads never reach is an error, not a hang") {
    Machine machine(R"(
.visible .entry stuck() {
    .reg .b32 %r1;
    .reg .pred %p1;
    mov.u32 %r1, %tid.x;
    setp.lt.u32 %p1, %r1, 32;
    @%p1 bra $one;
    bar.sync 1;
    ret;
$one:
    bar.sync 2;
    ret;
})");
    const auto fault = machine.run("stuck", {1, 1, 1}, {64, 1, 1}, {});
    REQUIRE(fault);
    REQUIRE(fault->kind == FaultKind::kDeadlock);
}

TEST_CASE("A grid that never ends can be cancelled, and others go on beside it") {
    Machine machine(R"(
.visible .entry forever() {
$again:
    bra $again;
}
.visible .entry quick(.param .u64 to) {
    .reg .b64 %d1;
    ld.param.u64 %d1, [to];
    st.global.u32 [%d1], 5;
    ret;
})",
                    1);
    LaunchConfig config;
    config.block = {32, 1, 1};
    config.grid = {4, 1, 1};
    std::optional<Fault> ending;
    const Grid endless = machine.start("forever", config, {},
                                       [&](const std::optional<Fault>& fault) { ending = fault; });
    Buffer<uint32_t> out(machine.map, 1);
    REQUIRE_FALSE(machine.run("quick", {1, 1, 1}, {1, 1, 1}, Parameters().add(out.address())));
    REQUIRE(out[0] == 5);
    REQUIRE_FALSE(endless.done());
    endless.cancel();
    endless.wait();
    REQUIRE(ending);
    REQUIRE(ending->kind == FaultKind::kCancelled);
}

TEST_CASE("An instruction that is lacking is refused with its name and line") {
    Machine machine(R"(
.visible .entry odd() {
    .reg .b32 %r<3>;
    .reg .b64 %d1;
    mov.u64 %d1, 0;
    tensormap.replace.tile.global_address.global.b1024.b64 [%d1], %d1;
    ret;
})");
    std::string log;
    const Kernel* const odd = machine.program->kernel("odd");
    REQUIRE(odd != nullptr);
    REQUIRE_FALSE(machine.program->prepare(*odd, log));
    INFO(log);
    REQUIRE(log.find("tensormap") != std::string::npos);
    REQUIRE(log.find("line 9") != std::string::npos);
}

TEST_CASE("A kernel that counts its grid in clusters is refused") {
    Machine machine(R"(
.visible .entry one() .explicitcluster .reqnctapercluster 1, 2, 1 { ret; }
.visible .entry two() .reqntid 32 .reqnctapercluster 1, 2, 1 .blocksareclusters { ret; }
)");
    std::string log;
    REQUIRE(machine.program->prepare(*machine.program->kernel("one"), log));
    const KernelInfo& one = machine.program->info(*machine.program->kernel("one"));
    CHECK(one.required_cluster.y == 2);
    CHECK(one.needs_cluster);
    REQUIRE_FALSE(machine.program->prepare(*machine.program->kernel("two"), log));
    INFO(log);
    REQUIRE(log.find("clusters") != std::string::npos);
}

TEST_CASE("printf formats as C does and appears in order") {
    Machine machine(R"(
.extern .func (.param .b32 r) vprintf(.param .b64 format, .param .b64 arguments);
.global .align 1 .b8 format[40] = {37, 100, 32, 37, 53, 46, 50, 102, 32, 37, 115, 32, 37, 108, 108,
                                   120, 32, 37, 42, 100, 124, 37, 37, 37, 99, 10, 0};
.global .align 1 .b8 word[4] = {97, 98, 99, 0};
.visible .entry speak() {
    .local .align 8 .b8 depot[64];
    .reg .b64 %d<8>;
    .reg .b32 %r<4>;
    .reg .f64 %f1;
    mov.u64 %d1, depot;
    mov.u32 %r1, %tid.x;
    neg.s32 %r1, %r1;
    st.local.u32 [%d1], %r1;
    st.local.f64 [%d1+8], 0d400921FB54442D18;
    mov.u64 %d2, word;
    cvta.global.u64 %d3, %d2;
    st.local.u64 [%d1+16], %d3;
    st.local.u64 [%d1+24], 0x123456789abcdef;
    st.local.u32 [%d1+32], 6;
    st.local.u32 [%d1+36], 42;
    st.local.u32 [%d1+40], 90;
    cvta.local.u64 %d4, %d1;
    mov.u64 %d5, format;
    cvta.global.u64 %d6, %d5;
    {
    .param .b64 p0;
    .param .b64 p1;
    .param .b32 q0;
    st.param.b64 [p0], %d6;
    st.param.b64 [p1], %d4;
    call.uni (q0), vprintf, (p0, p1);
    }
    ret;
})");
    REQUIRE_FALSE(machine.run("speak", {1, 1, 1}, {3, 1, 1}, {}));
    REQUIRE(machine.print.drain() ==
            "0  3.14 abc 123456789abcdef     42|%Z\n"
            "-1  3.14 abc 123456789abcdef     42|%Z\n"
            "-2  3.14 abc 123456789abcdef     42|%Z\n");
    REQUIRE(machine.print.drain().empty());
}

TEST_CASE("A full print buffer loses the oldest output") {
    PrintBuffer buffer(10);
    buffer.append("abcdef");
    buffer.append("ghij");
    buffer.append("k");
    REQUIRE(buffer.drain() == "ghijk");
}
