// SPDX-License-Identifier: Apache-2.0
// Clusters of several blocks: shared memory of one another, the barrier, special registers.
#include <catch2/catch.hpp>

#include "harness.h"

using namespace cubar::softgpu::exec;
using namespace cubar::softgpu::exec::test;

namespace {

// The thread's number in the grid is in %i, where its 32-bit result goes in %out, its number in the
// block in %t.
std::string kernel(const std::string& code) {
    return R"(
.visible .entry k(.param .u64 out) {
    .reg .b64 %out, %far, %state;
    .reg .b32 %i, %t, %n, %r, %v, %w, %at;
    .reg .pred %p, %q;
    .shared .align 8 .b32 tile[64];
    .shared .align 8 .b64 bar;
    ld.param.u64 %out, [out];
    mov.u32 %n, %ntid.x;
    mov.u32 %t, %tid.x;
    mov.u32 %i, %ctaid.x;
    mad.lo.u32 %i, %i, %n, %t;
    mad.wide.u32 %out, %i, 4, %out;
    )" + code +
           R"(
    ret;
})";
}

constexpr const char* kMeet = "barrier.cluster.arrive; barrier.cluster.wait;\n";

struct Run {
    std::optional<Fault> fault;
    std::vector<uint32_t> out;
};

Run run(const std::string& code, Dim3 cluster, Dim3 grid, uint32_t threads = 64) {
    Machine machine(kernel(code));
    Buffer<uint32_t> out(machine.map, grid.count() * threads);
    LaunchConfig config;
    config.grid = grid;
    config.block = {threads, 1, 1};
    config.cluster = cluster;
    config.explicit_cluster = true;
    Run result;
    result.fault = machine.run("k", config, Parameters().add(out.address()));
    result.out = out.values();
    return result;
}

}  // namespace

TEST_CASE("Blocks of a cluster read each other's shared memory") {
    const std::string give =
        "shl.b32 %at, %t, 2; mov.u32 %v, tile; add.u32 %at, %at, %v;\n"
        "st.shared.b32 [%at], %i;\n";
    const std::string ask = "mov.u32 %r, %cluster_ctarank; xor.b32 %r, %r, 1;\n";
    const std::string leave = std::string("st.global.b32 [%out], %v;\n") + kMeet;
    for (const char* const read :
         {"mapa.shared::cluster.u32 %at, %at, %r; ld.shared::cluster.b32 %v, [%at];\n",
          "cvt.u64.u32 %far, %at; cvta.shared.u64 %far, %far; mapa.u64 %far, %far, %r;\n"
          "ld.b32 %v, [%far];\n",
          "mapa.shared::cluster.u32 %at, %at, %r; atom.shared::cluster.add.u32 %v, [%at], 5;\n"}) {
        INFO(read);
        const Run done = run(give + kMeet + ask + read + leave, {4, 1, 1}, {16, 1, 1});
        REQUIRE_FALSE(done.fault);
        for (uint32_t i = 0; i < done.out.size(); ++i) REQUIRE(done.out[i] == (i ^ 64));
    }
}

TEST_CASE("All threads of a cluster add to one block's shared memory") {
    const Run done =
        run(std::string("setp.eq.u32 %p, %t, 0; @%p st.shared.b32 [tile], 0;\n") + kMeet +
                "mapa.shared::cluster.u32 %at, tile, 2;\n"
                "red.shared::cluster.add.u32 [%at], 3;\n" +
                kMeet + "ld.shared::cluster.b32 %v, [%at]; st.global.b32 [%out], %v;" + kMeet,
            {8, 1, 1}, {24, 1, 1}, 40);
    REQUIRE_FALSE(done.fault);
    for (const uint32_t sum : done.out) REQUIRE(sum == 8 * 40 * 3);
}

TEST_CASE("A block knows its place in its cluster, and the cluster's in the grid") {
    const std::string code = R"(
    .reg .b32 %c<12>;
    mov.u32 %c0, %cluster_ctaid.x; mov.u32 %c1, %cluster_ctaid.y; mov.u32 %c2, %cluster_nctaid.x;
    mov.u32 %c3, %cluster_nctaid.y; mov.u32 %c4, %clusterid.x; mov.u32 %c5, %clusterid.y;
    mov.u32 %c6, %nclusterid.x; mov.u32 %c7, %nclusterid.y; mov.u32 %c8, %cluster_nctarank;
    mov.u32 %c9, %cluster_ctarank; mov.pred %p, %is_explicit_cluster;
    // The block's number in the grid, by way of the cluster.
    mad.lo.u32 %c4, %c4, %c2, %c0; mad.lo.u32 %c5, %c5, %c3, %c1;
    mul.lo.u32 %c6, %c6, %c2; mad.lo.u32 %v, %c5, %c6, %c4;
    mad.lo.u32 %w, %c1, %c2, %c0; sub.u32 %w, %w, %c9; mad.lo.u32 %v, %w, 1000, %v;
    mul.lo.u32 %c7, %c7, %c3; mad.lo.u32 %v, %c7, 10000, %v; mad.lo.u32 %v, %c8, 1000000, %v;
    @!%p mov.u32 %v, 0;
    mov.u32 %i, %ctaid.y; mov.u32 %n, %nctaid.x; mov.u32 %r, %ctaid.x; mad.lo.u32 %i, %i, %n, %r;
    ld.param.u64 %out, [out]; mad.wide.u32 %out, %i, 4, %out; st.global.b32 [%out], %v;)";
    const Run done = run(code, {2, 3, 1}, {4, 6, 1}, 1);
    REQUIRE_FALSE(done.fault);
    for (uint32_t i = 0; i < 24; ++i) CHECK(done.out[i] == 6060000 + i);
}

TEST_CASE("A block waits at its mbarrier for the threads of another") {
    const std::string code = std::string("setp.eq.u32 %p, %t, 0; mov.u32 %r, %cluster_ctarank;\n") +
                             "@%p mbarrier.init.shared.b64 [bar], 64;\n" + kMeet +
                             "xor.b32 %r, %r, 1; mapa.shared::cluster.u32 %at, tile, %r;\n"
                             "shl.b32 %w, %t, 2; add.u32 %at, %at, %w;\n"
                             "st.shared::cluster.b32 [%at], %i;\n"
                             "mapa.shared::cluster.u32 %at, bar, %r;\n"
                             "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%at];\n"
                             "again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %q, "
                             "[bar], 0; @!%q bra again;\n"
                             "mov.u32 %at, tile; add.u32 %at, %at, %w; ld.shared.b32 %v, [%at];\n"
                             "st.global.b32 [%out], %v;\n" +
                             kMeet;
    const Run done = run(code, {2, 1, 1}, {6, 1, 1});
    REQUIRE_FALSE(done.fault);
    for (uint32_t i = 0; i < done.out.size(); ++i) REQUIRE(done.out[i] == (i ^ 64));
}

TEST_CASE("A bulk copy reaches the like place of all blocks that its mask names") {
    // The cluster's first block copies its first 16 results' place to blocks 0 and 2.
    const std::string code =
        std::string(
            ".reg .b16 %m; mov.u32 %r, %cluster_ctarank; mov.b16 %m, MASK;\n"
            "setp.eq.u32 %p, %t, 0; @%p mbarrier.init.shared.b64 [bar], 1;\n"
            "mov.u32 %at, tile; shl.b32 %w, %t, 2; add.u32 %at, %at, %w;\n"
            "st.shared.b32 [%at], 7; ld.param.u64 %far, [out];\n"
            "setp.eq.u32 %q, %i, 0; @%q st.global.b32 [%far], 10;\n"
            "@%q st.global.b32 [%far+4], 11; @%q st.global.b32 [%far+8], 12;\n"
            "@%q st.global.b32 [%far+12], 13;\n") +
        kMeet +
        "and.b32 %v, %r, 1; setp.eq.and.u32 %q, %v, 0, %p;\n"
        "@%q mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], 16;\n" +
        kMeet +
        "setp.eq.and.u32 %q, %r, 0, %p;\n"
        "@%q cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes."
        "multicast::cluster [tile], [%far], 16, [bar], %m;\n"
        "setp.ne.u32 %q, %v, 0; @%q bra meet;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 %q, [bar], 0; @!%q bra again;\n"
        "meet: " +
        kMeet + "ld.shared.b32 %v, [%at]; st.global.b32 [%out], %v;\n" + kMeet;
    const auto with_mask = [&](const std::string& mask) {
        std::string text = code;
        return run(text.replace(text.find("MASK"), 4, mask), {4, 1, 1}, {4, 1, 1}, 32);
    };
    const Run done = with_mask("5");
    REQUIRE_FALSE(done.fault);
    for (uint32_t i = 0; i < done.out.size(); ++i) {
        const bool reached = i / 32 % 2 == 0 && i % 32 < 4;
        REQUIRE(done.out[i] == (reached ? 10 + i % 32 : 7));
    }
    // There is no block of rank 4.
    const Run beyond = with_mask("21");
    REQUIRE(beyond.fault);
    CHECK(beyond.fault->kind == FaultKind::kIllegalAddress);
}

TEST_CASE("Threads that have ended are not waited for at the cluster's barrier") {
    const Run done = run(std::string("mov.u32 %r, %cluster_ctarank; setp.eq.u32 %p, %r, 1;\n"
                                     "@%p ret; setp.gt.u32 %q, %t, 20; @%q ret;\n") +
                             kMeet + kMeet + "st.global.b32 [%out], 7;",
                         {4, 1, 1}, {8, 1, 1});
    REQUIRE_FALSE(done.fault);
    for (uint32_t i = 0; i < done.out.size(); ++i) {
        REQUIRE(done.out[i] == (i / 64 % 4 == 1 || i % 64 > 20 ? 0 : 7));
    }
}

TEST_CASE("An address belongs to the block that mapa names") {
    const std::string code =
        "mapa.shared::cluster.u32 %at, tile, 3; "
        "getctarank.shared::cluster.u32 %v, %at;\n"
        "cvta.shared.u64 %far, tile; getctarank.u64 %w, %far;\n"
        "mad.lo.u32 %v, %w, 10, %v; mapa.u64 %far, %far, 1;\n"
        "isspacep.shared::cluster %p, %far; isspacep.shared::cta %q, %far;\n"
        "@!%p add.u32 %v, %v, 1000; @%q add.u32 %v, %v, 100;\n"
        "st.global.b32 [%out], %v;";
    const Run done = run(code, {4, 1, 1}, {4, 1, 1}, 1);
    REQUIRE_FALSE(done.fault);
    for (uint32_t rank = 0; rank < 4; ++rank) {
        CHECK(done.out[rank] == 3 + 10 * rank + (rank == 1 ? 100 : 0));
    }
}

TEST_CASE("Shared memory of a block that there is not is out of bounds") {
    for (const char* const code :
         {"mapa.shared::cluster.u32 %at, tile, 2; ld.shared::cluster.b32 %v, [%at];",
          "mapa.shared::cluster.u32 %at, tile, 4000000000; st.shared::cluster.b32 [%at], 1;",
          "mapa.shared::cluster.u32 %at, tile, 1; add.u32 %at, %at, 100000; "
          "ld.shared::cluster.b32 %v, [%at];",
          "cvta.shared.u64 %far, tile; mapa.u64 %far, %far, 2; ld.b32 %v, [%far];"}) {
        INFO(code);
        const Run done = run(code, {2, 1, 1}, {4, 1, 1});
        REQUIRE(done.fault);
        CHECK(done.fault->kind == FaultKind::kIllegalAddress);
    }
}

TEST_CASE("A cluster that can never go on is found out") {
    const Run done = run(std::string("mov.u32 %r, %cluster_ctarank; setp.eq.u32 %p, %r, 0;\n"
                                     "@%p bra other; bar.sync 1, 96;\nother:\n") +
                             kMeet,
                         {2, 1, 1}, {2, 1, 1});
    REQUIRE(done.fault);
    CHECK(done.fault->kind == FaultKind::kDeadlock);
}

TEST_CASE("A grid that is no whole number of clusters does not start") {
    const Run done = run("", {3, 1, 1}, {8, 1, 1});
    REQUIRE(done.fault);
    CHECK(done.fault->kind == FaultKind::kTrap);
}
