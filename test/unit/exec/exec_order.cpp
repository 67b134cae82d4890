// SPDX-License-Identifier: Apache-2.0
// What blocks that run at the same time see of each other's writes: whole ones, in order. Scans
// that look back (CUB's) rely on all of it.
#include <array>
#include <catch2/catch.hpp>

#include "harness.h"

using namespace cubar::softgpu::exec;
using namespace cubar::softgpu::exec::test;

namespace {

constexpr uint32_t kRounds = 20000;  // that a reader looks at least
constexpr uint32_t kChanges = 10;    // that it must have seen: the two did run at the same time
constexpr uint32_t kLanes = 32;

// Block 0 does `write` with n = 1, 2, … until block 1 has seen enough; block 1 does `read`, which
// leaves a number in %a and sets the predicate %wrong. Per lane: %at, `stride` bytes apart. Lanes
// without a bit in `lanes` do nothing.
std::string duet(const char* write, const char* read) {
    return std::string(R"(
.visible .entry duet(.param .u64 at, .param .u32 stride, .param .u32 lanes, .param .u64 done,
                     .param .u64 counts) {
    .reg .pred %p, %off, %wrong, %some;
    .reg .b16 %h<4>;
    .reg .b32 %n, %a, %b, %c, %d, %last, %changes, %t;
    .reg .b64 %at, %done, %counts, %w, %v;
    .reg .b128 %q;
    ld.param.u64 %at, [at];
    ld.param.u64 %done, [done];
    ld.param.u64 %counts, [counts];
    ld.param.u32 %t, [lanes];
    mov.u32 %a, %tid.x;
    shr.u32 %t, %t, %a;
    and.b32 %t, %t, 1;
    setp.eq.u32 %off, %t, 0;
    @%off ret;
    ld.param.u32 %t, [stride];
    mad.wide.u32 %at, %t, %a, %at;
    mov.u32 %n, 0;
    mov.u32 %last, 0;
    mov.u32 %changes, 0;
    mov.u32 %a, %ctaid.x;
    setp.ne.u32 %p, %a, 0;
    @%p bra READ;
WRITE:
    add.u32 %n, %n, 1;
    )") + write +
           R"(
    and.b32 %t, %n, 63;
    setp.ne.u32 %p, %t, 0;
    @%p bra WRITE;
    ld.relaxed.gpu.u32 %t, [%done];
    setp.eq.u32 %p, %t, 0;
    @%p bra WRITE;
    ret;
READ:
    )" + read +
           R"(
    @%wrong red.global.add.u32 [%counts], 1;
    setp.ne.u32 %p, %a, %last;
    @%p add.u32 %changes, %changes, 1;
    mov.u32 %last, %a;
    add.u32 %n, %n, 1;
    setp.lt.u32 %p, %n, )" +
           std::to_string(kRounds) + R"(;
    setp.lt.u32 %some, %changes, )" +
           std::to_string(kChanges) + R"(;
    or.pred %p, %p, %some;
    @%p bra READ;
    st.relaxed.gpu.u32 [%done], 1;
    ret;
})";
}

struct Layout {
    uint32_t offset;  // of the first lane's place
    uint32_t stride;
    uint32_t lanes;
};

// How many times a lane saw what must not be.
uint32_t play(const char* write, const char* read, Layout layout) {
    alignas(64) static std::array<std::byte, 4096> memory;
    memory.fill({});
    Machine machine(duet(write, read));
    const auto address = reinterpret_cast<uint64_t>(memory.data());
    if (!machine.map.add(address, sizeof(memory))) throw std::runtime_error("address taken");
    Buffer<uint32_t> done(machine.map, 1);
    Buffer<uint32_t> wrong(machine.map, 1);
    const auto fault = machine.run("duet", {2, 1, 1}, {kLanes, 1, 1},
                                   Parameters()
                                       .add(address + layout.offset)
                                       .add(layout.stride)
                                       .add(layout.lanes)
                                       .add(done.address())
                                       .add(wrong.address()));
    if (fault) throw std::runtime_error(fault->message);
    return wrong[0];
}

}  // namespace

TEST_CASE("What a lane writes, up to 16 bytes, is seen whole") {
    // All bytes of a place hold the same number.
    struct Case {
        uint32_t bytes;
        const char* store;
        const char* load;
    };
    const Case cases[] = {
        {8, "mov.b64 %w, {%n, %n}; st.global.b64 [%at], %w;",
         "ld.global.b64 %w, [%at]; mov.b64 {%a, %b}, %w;"},
        {8, "mov.b64 %w, {%n, %n}; st.relaxed.gpu.b64 [%at], %w;",
         "ld.relaxed.gpu.b64 %w, [%at]; mov.b64 {%a, %b}, %w;"},
        {8, "st.global.v2.u32 [%at], {%n, %n};", "ld.global.v2.u32 {%a, %b}, [%at];"},
        {8, "st.relaxed.gpu.global.v2.u32 [%at], {%n, %n};",
         "ld.relaxed.gpu.global.v2.u32 {%a, %b}, [%at];"},
        {8, "st.volatile.v2.u32 [%at], {%n, %n};", "ld.volatile.v2.u32 {%a, %b}, [%at];"},
        {8, "cvt.u16.u32 %h0, %n; st.v4.u16 [%at], {%h0, %h0, %h0, %h0};",
         "ld.v4.u16 {%h0, %h1, %h2, %h3}, [%at]; mov.b32 %a, {%h0, %h1}; mov.b32 %b, {%h2, %h3};"},
        {16, "st.global.v4.u32 [%at], {%n, %n, %n, %n};",
         "ld.global.v4.u32 {%a, %b, %c, %d}, [%at];"},
        {16, "st.relaxed.gpu.v4.u32 [%at], {%n, %n, %n, %n};",
         "ld.relaxed.gpu.v4.u32 {%a, %b, %c, %d}, [%at];"},
        {16, "mov.b64 %w, {%n, %n}; st.global.v2.b64 [%at], {%w, %w};",
         "ld.global.v2.b64 {%w, %v}, [%at]; mov.b64 {%a, %b}, %w; mov.b64 {%c, %d}, %v;"},
        {16, "mov.b64 %w, {%n, %n}; st.relaxed.gpu.v2.b64 [%at], {%w, %w};",
         "ld.relaxed.gpu.v2.b64 {%w, %v}, [%at]; mov.b64 {%a, %b}, %w; mov.b64 {%c, %d}, %v;"},
        {16, "mov.b64 %w, {%n, %n}; mov.b128 %q, {%w, %w}; st.global.b128 [%at], %q;",
         "ld.global.b128 %q, [%at]; mov.b128 {%w, %v}, %q; mov.b64 {%a, %b}, %w; "
         "mov.b64 {%c, %d}, %v;"},
        {16, "mov.b64 %w, {%n, %n}; mov.b128 %q, {%w, %w}; st.relaxed.gpu.b128 [%at], %q;",
         "ld.relaxed.gpu.b128 %q, [%at]; mov.b128 {%w, %v}, %q; mov.b64 {%a, %b}, %w; "
         "mov.b64 {%c, %d}, %v;"},
    };
    for (const Case& test : cases) {
        // One lane after the other, apart, at one place, and not all of them.
        const Layout layouts[] = {
            {test.bytes, test.bytes, ~0u}, {0, 64, ~0u}, {0, 0, ~0u}, {0, test.bytes, 0x0f0f3331}};
        for (const Layout& layout : layouts) {
            INFO(test.store << " every " << layout.stride << ", lanes " << layout.lanes);
            const std::string compare =
                std::string("mov.u32 %c, 0; mov.u32 %d, 0;") + test.load + "xor.b32 %b, %a, %b;" +
                (test.bytes == 16 ? "xor.b32 %c, %c, %a; xor.b32 %d, %d, %a;" : "") +
                "or.b32 %b, %b, %c; or.b32 %b, %b, %d; setp.ne.u32 %wrong, %b, 0;";
            CHECK(play(test.store, compare.c_str(), layout) == 0);
        }
    }
}

TEST_CASE("A flag is seen after what was written before it") {
    // The value lies 1024 bytes after its flag. It may be newer than the flag, never older.
    struct Case {
        const char* write;
        const char* read;
    };
    const Case cases[] = {
        {"st.relaxed.gpu.u32 [%at+1024], %n; fence.acq_rel.gpu; st.relaxed.gpu.u32 [%at], %n;",
         "ld.relaxed.gpu.u32 %a, [%at]; fence.acq_rel.gpu; ld.relaxed.gpu.u32 %b, [%at+1024];"},
        {"st.u32 [%at+1024], %n; membar.gl; st.volatile.u32 [%at], %n;",
         "ld.volatile.u32 %a, [%at]; membar.gl; ld.u32 %b, [%at+1024];"},
        {"st.global.u32 [%at+1024], %n; st.release.gpu.global.u32 [%at], %n;",
         "ld.acquire.gpu.global.u32 %a, [%at]; ld.global.u32 %b, [%at+1024];"},
        {"st.u32 [%at+1024], %n; atom.release.gpu.exch.b32 %t, [%at], %n;",
         "atom.acquire.gpu.or.b32 %a, [%at], 0; ld.u32 %b, [%at+1024];"},
        {"st.v4.u32 [%at+1024], {%n, %n, %n, %n}; fence.sc.gpu; st.relaxed.gpu.v2.u32 [%at], {%n, "
         "%n};",
         "ld.relaxed.gpu.v2.u32 {%a, %t}, [%at]; fence.sc.gpu; ld.v4.u32 {%t, %t, %t, %b}, "
         "[%at+1024];"},
    };
    for (const Case& test : cases) {
        for (const Layout& layout : {Layout{0, 16, ~0u}, Layout{0, 16, 1}, Layout{0, 16, 0x5555}}) {
            INFO(test.write << " lanes " << layout.lanes);
            const std::string compare = std::string(test.read) + "setp.lt.u32 %wrong, %b, %a;";
            CHECK(play(test.write, compare.c_str(), layout) == 0);
        }
    }
}

TEST_CASE("Of two threads that write, fence and read, one sees the other's write") {
    // Each block writes its own word of a round and reads the other's: not both may read zero.
    constexpr uint32_t kTries = 20000;
    for (const char* fence : {"fence.sc.gpu;", "membar.gl;", "membar.sys;"}) {
        INFO(fence);
        Machine machine(std::string(R"(
.visible .entry cross(.param .u64 words, .param .u64 seen, .param .u64 arrived) {
    .reg .pred %p, %q;
    .reg .b32 %n, %t, %own, %polls, %lane;
    .reg .b64 %words, %seen, %arrived, %mine, %other;
    ld.param.u64 %words, [words];
    ld.param.u64 %seen, [seen];
    ld.param.u64 %arrived, [arrived];
    mov.u32 %own, %ctaid.x;
    mov.u32 %lane, %tid.x;
    mad.wide.u32 %seen, %lane, 8, %seen;
    mad.wide.u32 %seen, %own, 4, %seen;
    mad.wide.u32 %words, %lane, 8, %words;
    mad.wide.u32 %mine, %own, 4, %words;
    xor.b32 %t, %own, 1;
    mad.wide.u32 %other, %t, 4, %words;
    mov.u32 %n, 0;
ROUND:
    // About the same time: the other is waited for, though not for ever.
    setp.eq.u32 %p, %lane, 0;
    @%p red.relaxed.gpu.global.add.u32 [%arrived], 1;
    mad.lo.u32 %t, %n, 2, 2;
    mov.u32 %polls, 0;
MEET:
    ld.relaxed.gpu.global.u32 %own, [%arrived];
    add.u32 %polls, %polls, 1;
    setp.lt.u32 %p, %own, %t;
    setp.lt.u32 %q, %polls, 500;
    and.pred %p, %p, %q;
    @%p bra MEET;
    st.relaxed.gpu.global.u32 [%mine], 1;
    )") + fence + R"(
    ld.relaxed.gpu.global.u32 %t, [%other];
    st.global.u32 [%seen], %t;
    add.u64 %mine, %mine, 256;
    add.u64 %other, %other, 256;
    add.u64 %seen, %seen, 256;
    add.u32 %n, %n, 1;
    setp.lt.u32 %p, %n, )" +
                        std::to_string(kTries) + R"(;
    @%p bra ROUND;
    ret;
})");
        Buffer<uint32_t> words(machine.map, size_t{kTries} * kLanes * 2);
        Buffer<uint32_t> seen(machine.map, size_t{kTries} * kLanes * 2);
        Buffer<uint32_t> arrived(machine.map, 1);
        REQUIRE_FALSE(machine.run(
            "cross", {2, 1, 1}, {kLanes, 1, 1},
            Parameters().add(words.address()).add(seen.address()).add(arrived.address())));
        uint32_t neither = 0;
        for (size_t pair = 0; pair < seen.values().size(); pair += 2) {
            neither += seen[pair] == 0 && seen[pair + 1] == 0;
        }
        CHECK(neither == 0);
    }
}

TEST_CASE("Blocks that look back find every prefix") {
    // Each block has n + 1 to add; it publishes {1, own}, sums up those before it, publishes
    // {2, sum}. Later blocks may run long before earlier ones are done.
    constexpr uint32_t kBlocks = 4096;
    Machine machine(R"(
.visible .entry look_back(.param .u64 tiles, .param .u64 sums) {
    .reg .pred %p;
    .reg .b32 %n, %own, %sum, %flag, %value;
    .reg .b64 %tiles, %sums, %at;
    ld.param.u64 %tiles, [tiles];
    ld.param.u64 %sums, [sums];
    mov.u32 %n, %ctaid.x;
    add.u32 %own, %n, 1;
    mad.wide.u32 %at, %n, 8, %tiles;
    st.relaxed.gpu.global.v2.u32 [%at], {1, %own};
    mov.u32 %sum, %own;
    setp.eq.u32 %p, %n, 0;
    @%p bra DONE;
BEFORE:
    sub.u64 %at, %at, 8;
LOOK:
    ld.relaxed.gpu.global.v2.u32 {%flag, %value}, [%at];
    setp.eq.u32 %p, %flag, 0;
    @%p bra LOOK;
    add.u32 %sum, %sum, %value;
    setp.eq.u32 %p, %flag, 1;
    @%p bra BEFORE;
DONE:
    mad.wide.u32 %at, %n, 8, %tiles;
    st.relaxed.gpu.global.v2.u32 [%at], {2, %sum};
    mad.wide.u32 %at, %n, 4, %sums;
    st.global.u32 [%at], %sum;
    ret;
})");
    for (int round = 0; round < 5; ++round) {
        Buffer<uint64_t> tiles(machine.map, kBlocks);
        Buffer<uint32_t> sums(machine.map, kBlocks);
        REQUIRE_FALSE(machine.run("look_back", {kBlocks, 1, 1}, {1, 1, 1},
                                  Parameters().add(tiles.address()).add(sums.address())));
        uint32_t wrong = 0;
        for (uint32_t n = 0; n < kBlocks; ++n) wrong += sums[n] != (n + 1) * (n + 2) / 2;
        CHECK(wrong == 0);
    }
}
