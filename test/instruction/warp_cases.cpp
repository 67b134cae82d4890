// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;
using U32 = std::uint32_t;

// The ISA's own definition, lane by lane; c is {segment mask in bits 8-12, clamp in bits 0-4}.
void shuffle(const std::string& mode, U32 b, U32 c, const Row* in, Row* out) {
    const int lane_value = static_cast<int>(b & 31);
    const int clamp = static_cast<int>(c & 31);
    const int segment = static_cast<int>(c >> 8 & 31);
    for (int lane = 0; lane < 32; ++lane) {
        const int most = (lane & segment) | (clamp & ~segment);
        const int least = lane & segment;
        int source = 0;
        bool inside = false;
        if (mode == "up") {
            source = lane - lane_value;
            inside = source >= most;
        } else if (mode == "down") {
            source = lane + lane_value;
            inside = source <= most;
        } else if (mode == "bfly") {
            source = lane ^ lane_value;
            inside = source <= most;
        } else {
            source = least | (lane_value & ~segment);
            inside = source <= most;
        }
        if (!inside) source = lane;
        out[lane][0] = in[source][0];
        out[lane][1] = inside;
    }
}

void add_shuffles(Cases& cases) {
    for (const char* const mode : {"up", "down", "bfly", "idx"}) {
        const std::string name = mode;
        // Whole warps, and segments of 8 lanes.
        for (const U32 control :
             {name == "up" ? 0u : 0x1fu, name == "up" ? 0x1800u : 0x181fu, 0x0707u}) {
            for (const U32 distance : {0u, 1u, 5u, 16u, 31u, 37u}) {
                const std::string tail =
                    ", " + std::to_string(distance) + ", " + std::to_string(control);
                cases.push_back({"shfl.sync." + name + tail,
                                 {Kind::kB32},
                                 {Kind::kB32, Kind::kPredicate},
                                 "shfl.sync." + name + ".b32 %d0|%d1, %a0" + tail + ", -1;",
                                 per_warp([=](const Row* in, Row* out) {
                                     shuffle(name, distance, control, in, out);
                                 })});
            }
        }
    }
    cases.push_back({"shfl.sync.idx by a register",
                     {Kind::kB32, Kind::kB32},
                     {Kind::kB32},
                     "shfl.sync.idx.b32 %d0, %a0, %a1, 31, -1;",
                     per_warp([](const Row* in, Row* out) {
                         for (int i = 0; i < 32; ++i) out[i][0] = in[in[i][1] & 31][0];
                     })});
    cases.push_back({"shfl.sync among half a warp",
                     {Kind::kB32},
                     {Kind::kB32},
                     ".reg .pred %odd; .reg .b32 %one; and.b32 %one, %index, 1;\n"
                     "setp.ne.u32 %odd, %one, 0; mov.b32 %d0, 7;\n"
                     "@%odd bra skip; shfl.sync.bfly.b32 %d0, %a0, 2, 31, 0x55555555; skip:",
                     per_warp([](const Row* in, Row* out) {
                         for (int i = 0; i < 32; ++i) out[i][0] = (i & 1) != 0 ? 7 : in[i ^ 2][0];
                     })});
}

U32 ballot(const Row* in) {
    U32 mask = 0;
    for (int i = 0; i < 32; ++i) mask |= static_cast<U32>(in[i][0] & 1) << i;
    return mask;
}

void add_votes(Cases& cases) {
    for (const char* const mode : {"all", "any", "uni"}) {
        const char letter = mode[1];
        for (const bool negated : {false, true}) {
            const std::string name = std::string("vote.sync.") + mode + ".pred";
            cases.push_back(
                {name + (negated ? " negated" : ""),
                 {Kind::kPredicate},
                 {Kind::kPredicate},
                 // A third of the warps is made uniform, so that both answers occur.
                 ".reg .pred %q; .reg .b32 %w; shr.u32 %w, %index, 5; rem.u32 %w, %w, 3;\n"
                 "setp.eq.u32 %q, %w, 1; or.pred %a0, %a0, %q; setp.ne.u32 %q, %w, 2;\n"
                 "and.pred %a0, %a0, %q; " +
                     name + (negated ? " %d0, !%a0, -1;" : " %d0, %a0, -1;"),
                 [=](const Rows& in, Rows& out) {
                     for (std::size_t first = 0; first < in.size(); first += 32) {
                         U32 mask = ballot(&in[first]);
                         const std::size_t third = first / 32 % 3;
                         if (third == 1) mask = 0xffffffff;
                         if (third == 2) mask = 0;
                         if (negated) mask = ~mask;
                         const bool all = mask == 0xffffffff;
                         const bool result = letter == 'l'                     ? all
                                             : letter == 'n' && mode[0] == 'a' ? mask != 0
                                                                               : all || mask == 0;
                         for (std::size_t i = 0; i < 32; ++i) out[first + i][0] = result;
                     }
                 }});
        }
    }
    cases.push_back({"vote.sync.ballot.b32",
                     {Kind::kPredicate},
                     {Kind::kB32},
                     "vote.sync.ballot.b32 %d0, %a0, -1;",
                     per_warp([](const Row* in, Row* out) {
                         for (int i = 0; i < 32; ++i) out[i][0] = ballot(in);
                     })});
    cases.push_back({"activemask.b32 when all run",
                     {Kind::kB32},
                     {Kind::kB32},
                     "activemask.b32 %d0;",
                     per_thread([](const Row&, Row& d) { d[0] = 0xffffffff; })});
}

void add_matches(Cases& cases) {
    for (const char* const type : {"b32", "b64"}) {
        const Kind kind = type[1] == '3' ? Kind::kB32 : Kind::kB64;
        const std::string few = std::string("and.") + type + " %a0, %a0, 3; ";
        cases.push_back({std::string("match.any.sync.") + type,
                         {kind},
                         {Kind::kB32},
                         few + "match.any.sync." + type + " %d0, %a0, -1;",
                         per_warp([](const Row* in, Row* out) {
                             for (int i = 0; i < 32; ++i) {
                                 U64 mask = 0;
                                 for (int k = 0; k < 32; ++k) {
                                     mask |= U64{(in[i][0] & 3) == (in[k][0] & 3)} << k;
                                 }
                                 out[i][0] = mask;
                             }
                         })});
        // In every other warp all lanes agree.
        cases.push_back({std::string("match.all.sync.") + type,
                         {kind},
                         {Kind::kB32, Kind::kPredicate},
                         few +
                             ".reg .pred %even; .reg .b32 %w; and.b32 %w, %index, 32;\n"
                             "setp.eq.u32 %even, %w, 0; @%even mov." +
                             type +
                             " %a0, 9;\n"
                             "match.all.sync." +
                             type + " %d0|%d1, %a0, -1;",
                         [](const Rows& in, Rows& out) {
                             for (std::size_t i = 0; i < in.size(); ++i) {
                                 const std::size_t first = i / 32 * 32;
                                 bool same = true;
                                 for (std::size_t k = first; k < first + 32; ++k) {
                                     same = same && (in[k][0] & 3) == (in[first][0] & 3);
                                 }
                                 same = same || i / 32 % 2 == 0;
                                 out[i][0] = same ? 0xffffffff : 0;
                                 out[i][1] = same;
                             }
                         }});
    }
}

template <typename Function>
void add_reduction(Cases& cases, const std::string& name, Function function) {
    Case one{"redux.sync." + name,
             {Kind::kB32},
             {Kind::kB32},
             "redux.sync." + name + " %d0, %a0, -1;",
             per_warp([=](const Row* in, Row* out) {
                 U32 result = static_cast<U32>(in[0][0]);
                 for (int i = 1; i < 32; ++i) result = function(result, static_cast<U32>(in[i][0]));
                 for (int i = 0; i < 32; ++i) out[i][0] = result;
             })};
    one.needs = 80;
    cases.push_back(one);
}

void add_reductions(Cases& cases) {
    add_reduction(cases, "add.u32", [](U32 a, U32 b) { return a + b; });
    add_reduction(cases, "add.s32", [](U32 a, U32 b) { return a + b; });
    add_reduction(cases, "min.u32", [](U32 a, U32 b) { return a < b ? a : b; });
    add_reduction(cases, "max.u32", [](U32 a, U32 b) { return a > b ? a : b; });
    const auto as_signed = [](U32 a) { return static_cast<std::int32_t>(a); };
    add_reduction(cases, "min.s32",
                  [=](U32 a, U32 b) { return as_signed(a) < as_signed(b) ? a : b; });
    add_reduction(cases, "max.s32",
                  [=](U32 a, U32 b) { return as_signed(a) > as_signed(b) ? a : b; });
    add_reduction(cases, "and.b32", [](U32 a, U32 b) { return a & b; });
    add_reduction(cases, "or.b32", [](U32 a, U32 b) { return a | b; });
    add_reduction(cases, "xor.b32", [](U32 a, U32 b) { return a ^ b; });
}

}  // namespace

void add_warp_cases(Cases& cases) {
    add_shuffles(cases);
    add_votes(cases);
    add_matches(cases);
    add_reductions(cases);
}

}  // namespace cubar::instruction
