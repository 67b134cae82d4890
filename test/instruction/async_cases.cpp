// SPDX-License-Identifier: Apache-2.0
// Asynchronous copies and mbarriers.
#include "test/instruction/case.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;
using U32 = std::uint32_t;

// %mine is the thread's place of 16 bytes in shared memory, its neighbour's is %other; `bar` is an
// mbarrier that thread 0 makes for `count` arrivals.
std::string places(const std::string& count) {
    return ".shared .align 16 .b8 tile[1024]; .shared .b64 bar; .reg .pred %first, %done;\n"
           ".reg .b32 %mine, %other, %t; .reg .b64 %state; mov.u32 %t, %tid.x;\n"
           "setp.eq.u32 %first, %t, 0; shl.b32 %mine, %t, 4; xor.b32 %other, %mine, 528;\n"
           "mov.u32 %t, tile; add.u32 %mine, %mine, %t; add.u32 %other, %other, %t;\n"
           "st.shared.b64 [%mine], 77; st.shared.b64 [%mine+8], 77;\n"
           "@%first mbarrier.init.shared::cta.b64 [bar], " +
           count + ";\nbar.sync 0;\n";
}

constexpr std::size_t kThreads = 64;
constexpr std::size_t kOther = 33;  // 528 / 16

void add(Cases& cases, const std::string& name, const std::string& count, const std::string& code,
         Reference reference, int needs) {
    Case one{name,
             {Kind::kB64, Kind::kB64, Kind::kB32},
             {Kind::kB64, Kind::kB64},
             places(count) + code,
             std::move(reference)};
    one.needs = needs;
    one.blocks = 2;
    one.threads = kThreads;
    cases.push_back(std::move(one));
}

constexpr const char* kLoadOther = "ld.shared.b64 %d0, [%other]; ld.shared.b64 %d1, [%other+8];";
constexpr const char* kLoadMine = "ld.shared.b64 %d0, [%mine]; ld.shared.b64 %d1, [%mine+8];";

// The 16 bytes that the thread `other` had copied `size` bytes of to its place, of `bytes` in all.
void copied(const Row& other, unsigned bytes, unsigned size, Row& out) {
    out[0] = out[1] = 77;
    for (unsigned i = 0; i < bytes; ++i) {
        const U64 byte = i < size ? other[i / 8] >> (i % 8 * 8) & 0xff : 0;
        out[i / 8] = (out[i / 8] & ~(U64{0xff} << (i % 8 * 8))) | byte << (i % 8 * 8);
    }
}

Reference from_other(unsigned bytes, unsigned (*size)(unsigned bytes, U32 operand)) {
    return [=](const Rows& in, Rows& out) {
        for (std::size_t i = 0; i < in.size(); ++i) {
            const Row& other = in[i ^ kOther];
            copied(other, bytes, size(bytes, static_cast<U32>(other[2])), out[i]);
        }
    };
}

void add_copies(Cases& cases) {
    for (const unsigned bytes : {4u, 8u, 16u}) {
        for (const bool global_only : {false, true}) {
            if (global_only && bytes != 16) continue;
            const std::string name =
                std::string("cp.async.") + (global_only ? "cg" : "ca") + ".shared.global";
            const std::string copy = name + " [%mine], [%in], " + std::to_string(bytes);
            const std::string label = name + ", " + std::to_string(bytes) + " bytes";
            add(cases, label + ", wait_all", "1",
                copy + "; cp.async.wait_all; bar.sync 0;\n" + kLoadOther,
                from_other(bytes, [](unsigned all, U32) { return all; }), 80);
            add(cases, label + ", groups", "1",
                copy + "; cp.async.commit_group; cp.async.wait_group 0; bar.sync 0;\n" + kLoadOther,
                from_other(bytes, [](unsigned all, U32) { return all; }), 80);
            add(cases, label + ", less read", "1",
                "rem.u32 %a2, %a2, " + std::to_string(bytes + 1) + "; " + copy +
                    ", %a2; cp.async.wait_all; bar.sync 0;\n" + kLoadOther,
                from_other(bytes, [](unsigned all, U32 operand) { return operand % (all + 1); }),
                80);
            add(cases, label + ", source ignored", "1",
                ".reg .pred %ignore; and.b32 %a2, %a2, 1; setp.ne.u32 %ignore, %a2, 0; " + copy +
                    ", %ignore; cp.async.wait_all; bar.sync 0;\n" + kLoadOther,
                from_other(bytes,
                           [](unsigned all, U32 operand) { return operand % 2 != 0 ? 0 : all; }),
                80);
        }
    }
    // What is not read may lie anywhere.
    add(cases, "cp.async of nothing from nowhere", "1",
        ".reg .b64 %nowhere; mov.u64 %nowhere, 0;\n"
        "cp.async.ca.shared.global [%mine], [%nowhere], 8, 0; cp.async.wait_all;\n" +
            std::string(kLoadMine),
        per_thread([](const Row& in, Row& out) { copied(in, 8, 0, out); }), 80);
    add(cases, "cp.async arrives at an mbarrier", "64",
        "cp.async.ca.shared.global [%mine], [%in], 16; cp.async.mbarrier.arrive.noinc.shared.b64 "
        "[bar];\nloop: mbarrier.test_wait.parity.shared.b64 %done, [bar], 0; @!%done bra loop;\n" +
            std::string(kLoadOther),
        from_other(16, [](unsigned all, U32) { return all; }), 80);
    add(cases, "cp.async arrives at an mbarrier besides", "64",
        "cp.async.ca.shared.global [%mine], [%in], 16; cp.async.mbarrier.arrive.shared.b64 [bar];\n"
        "mbarrier.arrive.shared.b64 %state, [bar];\n"
        "loop: mbarrier.test_wait.shared.b64 %done, [bar], %state; @!%done bra loop;\n" +
            std::string(kLoadOther),
        from_other(16, [](unsigned all, U32) { return all; }), 80);
    // One thread copies a row of 512 bytes from the first threads' operands to the tile.
    const std::string bulk =
        "@!%first bra wait; mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], 512;\n"
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 512, "
        "[bar];\nwait: mbarrier.try_wait.parity.shared::cta.b64 %done, [bar], 0; @!%done bra "
        "wait;\n";
    add(
        cases, "cp.async.bulk to shared memory", "1", bulk + kLoadMine,
        [](const Rows& in, Rows& out) {
            for (std::size_t i = 0; i < in.size(); ++i) {
                const std::size_t at = i % kThreads * 2;
                const std::size_t first = i / kThreads * kThreads;
                const std::size_t row = first + at / kMaxOperands;
                const bool inside = at * 8 < 512;
                out[i][0] = inside ? in[row][at % kMaxOperands] : 77;
                out[i][1] = inside ? in[row][at % kMaxOperands + 1] : 77;
            }
        },
        90);
    add(cases, "cp.async.bulk to global memory", "1",
        "st.shared.b64 [%mine], %a0; st.shared.b64 [%mine+8], %a1;\n"
        "cp.async.bulk.global.shared::cta.bulk_group [%out], [%mine], 16;\n"
        "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; cp.async.bulk.wait_group 0;\n"
        "ld.global.b64 %d0, [%out]; ld.global.b64 %d1, [%out+8];",
        per_thread([](const Row& in, Row& out) {
            out[0] = in[0];
            out[1] = in[1];
        }),
        90);
}

void add_barriers(Cases& cases) {
    const std::string exchange = "st.shared.b64 [%mine], %a0;\n";
    const auto other = [](const Rows& in, Rows& out) {
        for (std::size_t i = 0; i < in.size(); ++i) {
            out[i][0] = in[i ^ kOther][0];
            out[i][1] = 77;
        }
    };
    add(cases, "mbarrier.arrive and test_wait", "64",
        exchange +
            "mbarrier.arrive.shared.b64 %state, [bar];\n"
            "loop: mbarrier.test_wait.shared.b64 %done, [bar], %state; @!%done bra loop;\n" +
            kLoadOther,
        other, 80);
    add(cases, "mbarrier through a generic address", "64",
        exchange +
            ".reg .b64 %p; cvta.shared.u64 %p, bar; mbarrier.arrive.b64 %state, [%p];\n"
            "loop: mbarrier.test_wait.b64 %done, [%p], %state; @!%done bra loop;\n" +
            kLoadOther,
        other, 80);
    // Each of 64 threads counts for two; a second phase has the other parity.
    add(cases, "mbarrier phases", "128",
        exchange +
            "mbarrier.arrive.noComplete.shared.b64 %state, [bar], 1;\n"
            "mbarrier.arrive.release.cta.shared::cta.b64 %state, [bar];\n"
            "one: mbarrier.try_wait.parity.shared.b64 %done, [bar], 0; @!%done bra one;\n"
            "ld.shared.b64 %d0, [%other]; mbarrier.test_wait.parity.shared.b64 %done, [bar], 1;\n"
            "@%done mov.b64 %d0, 5;\nbar.sync 0; mbarrier.arrive.shared.b64 _, [bar], 2;\n"
            "two: mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %done, [bar], 1, 1000;\n"
            "@!%done bra two; ld.shared.b64 %d1, [%mine+8];",
        other, 90);
    // Half of the threads leave after the first phase.
    add(cases, "mbarrier.arrive_drop", "64",
        exchange +
            ".reg .pred %odd; .reg .b32 %i; and.b32 %i, %index, 1; setp.ne.u32 %odd, %i, 0;\n"
            "@%odd mbarrier.arrive_drop.shared.b64 %state, [bar];\n"
            "@!%odd mbarrier.arrive.shared.b64 %state, [bar];\n"
            "one: mbarrier.test_wait.shared.b64 %done, [bar], %state; @!%done bra one;\n"
            "@%odd bra end; mbarrier.arrive.shared.b64 %state, [bar];\n"
            "two: mbarrier.test_wait.shared.b64 %done, [bar], %state; @!%done bra two;\nend:\n" +
            kLoadOther,
        other, 80);
    // Each arrival of the second round sees less than the one before.
    add(cases, "mbarrier.pending_count", "300",
        ".reg .b32 %n; mbarrier.arrive.noComplete.shared.b64 %state, [bar], 3;\n"
        "mbarrier.pending_count.b64 %n, %state;\nrem.u32 %n, %n, 3; cvt.u64.u32 %d0, %n;\n"
        "bar.sync 0; mbarrier.arrive.noComplete.shared.b64 %state, [bar], 1;\n"
        "mbarrier.pending_count.b64 %n, %state; sub.u32 %n, 108, %n;\n"
        "setp.lt.u32 %done, %n, 64; selp.b64 %d1, 1, 0, %done;\n"
        "bar.sync 0; mbarrier.inval.shared.b64 [bar];",
        per_thread([](const Row&, Row& out) {
            out[0] = 0;
            out[1] = 1;
        }),
        80);
    // Arrivals alone do not complete a phase that waits for bytes.
    add(cases, "mbarrier.expect_tx and complete_tx", "64",
        exchange +
            "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [bar], 16;\n"
            "bar.sync 0; mbarrier.arrive.shared.b64 %state, [bar]; bar.sync 0;\n"
            "mbarrier.test_wait.shared.b64 %done, [bar], %state; selp.b64 %d1, 1, 77, %done;\n"
            "bar.sync 0; mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 16;\n"
            "one: mbarrier.try_wait.shared.b64 %done, [bar], %state; @!%done bra one;\n"
            "ld.shared.b64 %d0, [%other];",
        other, 90);
}

void add_clusters(Cases& cases) {
    add(
        cases, "barrier.cluster of one block", "1",
        "st.shared.b64 [%mine], %a0; barrier.cluster.arrive.release; "
        "barrier.cluster.wait.acquire;\n"
        "ld.shared.b64 %d0, [%other]; barrier.cluster.arrive.aligned;\n"
        "barrier.cluster.wait.aligned; ld.shared.b64 %d1, [%other+8];",
        [](const Rows& in, Rows& out) {
            for (std::size_t i = 0; i < in.size(); ++i) {
                out[i][0] = in[i ^ kOther][0];
                out[i][1] = 77;
            }
        },
        90);
    add(
        cases, "mapa and getctarank in a cluster of one block", "1",
        ".reg .b32 %m, %r; .reg .b64 %g, %n; st.shared.b64 [%mine], %a0; bar.sync 0;\n"
        "mapa.shared::cluster.u32 %m, %other, 0; ld.shared::cluster.b64 %d0, [%m];\n"
        "getctarank.shared::cluster.u32 %r, %m; cvt.u64.u32 %d1, %r;\n"
        "cvt.u64.u32 %g, %other; cvta.shared.u64 %g, %g; mapa.u64 %n, %g, 0;\n"
        "ld.b64 %n, [%n]; getctarank.u64 %r, %g; add.u64 %d1, %d1, %n;",
        [](const Rows& in, Rows& out) {
            for (std::size_t i = 0; i < in.size(); ++i) {
                out[i][0] = in[i ^ kOther][0];
                out[i][1] = in[i ^ kOther][0];
            }
        },
        90);
}

}  // namespace

void add_async_cases(Cases& cases) {
    add_copies(cases);
    add_barriers(cases);
    add_clusters(cases);
}

}  // namespace cubar::instruction
