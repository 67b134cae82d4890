// SPDX-License-Identifier: Apache-2.0
// Atomics on vectors and on 128 bits, st.async and red.async, cvt.pack, and lop3 with a predicate.
#include "test/instruction/case.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;
using U32 = std::uint32_t;
using S64 = std::int64_t;

// A place of 16 bytes of the thread's own, behind its results.
constexpr const char* kPlace = "[%out+112]";

U64 sum_of(const Format& format, U64 a, U64 b) {
    return encode(format, add(decode(format, a), decode(format, b)), Round::kNearest);
}

std::string names(const char* letter, unsigned first, unsigned count) {
    std::string text = "{";
    for (unsigned i = 0; i < count; ++i) {
        text += (i == 0 ? "%" : ", %") + std::string(letter) + std::to_string(first + i);
    }
    return text + "}";
}

// Old values and sums; red does the same.
void add_vector(Cases& cases, const char* type, Kind kind, unsigned count, unsigned parts,
                const Format& format) {
    const std::string noftz = kind == Kind::kUnit ? "" : ".noftz";
    const std::string operation =
        ".global.add" + noftz + ".v" + std::to_string(count) + "." + type + " ";
    const unsigned bits = bits_of(kind);
    const std::string memory = ".b" + std::to_string(bits);
    const auto each = [&](const char* what, const char* letter, unsigned first) {
        std::string text;
        for (unsigned i = 0; i < count; ++i) {
            const std::string at = "[%out+" + std::to_string(112 + i * bits / 8) + "]";
            const std::string name = letter + std::to_string(first + i);
            text += std::string(what) + ".global" + memory + " " +
                    (what[0] == 's' ? at + ", %" + name : "%" + name + ", " + at) + ";\n";
        }
        return text;
    };
    std::string code = each("st", "a", 0) + "atom" + operation + names("d", 0, count) + ", " +
                       kPlace + ", " + names("a", count, count) + ";\n" + each("ld", "d", count);
    code += each("st", "a", 0) + "red" + operation + kPlace + ", " + names("a", count, count) +
            ";\n" + each("ld", "d", 2 * count);
    Case one{"atom" + operation, std::vector<Kind>(2 * std::size_t{count}, kind),
             std::vector<Kind>(3 * std::size_t{count}, kind), code,
             per_thread([=](const Row& a, Row& d) {
                 for (std::size_t i = 0; i < count; ++i) {
                     d[i] = a[i];
                     U64 sum = 0;
                     for (unsigned part = 0; part < parts; ++part) {
                         const unsigned width = bits / parts;
                         const U64 mask = (U64{1} << width) - 1;
                         const U64 x = a[i] >> (part * width) & mask;
                         const U64 y = a[count + i] >> (part * width) & mask;
                         sum |= sum_of(format, x, y) << (part * width);
                     }
                     d[count + i] = d[2 * std::size_t{count} + i] = sum;
                 }
             })};
    one.needs = 90;
    cases.push_back(std::move(one));
}

void add_wide(Cases& cases) {
    const std::string begin =
        ".reg .b128 %old, %b, %c, %now; mov.b128 %old, {%a0, %a1}; st.global.b128 [%out+112], "
        "%old;\nmov.b128 %b, {%a2, %a3}; ";
    const std::string end =
        "\nld.global.b128 %now, [%out+112]; mov.b128 {%d0, %d1}, %old; mov.b128 {%d2, %d3}, %now;";
    const std::vector<Kind> four(4, Kind::kB64);
    Case exchange{"atom.exch.b128", four, four,
                  begin + "atom.global.exch.b128 %old, [%out+112], %b;" + end,
                  per_thread([](const Row& a, Row& d) {
                      d = {a[0], a[1], a[2], a[3]};
                  })};
    exchange.needs = 90;
    cases.push_back(std::move(exchange));
    // Every other thread compares with what is there.
    Case compare{"atom.cas.b128", four, four,
                 begin +
                     ".reg .pred %p; and.b64 %d0, %a2, 1; setp.eq.u64 %p, %d0, 0;\n"
                     "mov.b128 %c, {%a3, %a2}; @%p mov.b128 %b, {%a0, %a1};\n"
                     "atom.global.cas.b128 %old, [%out+112], %b, %c;" +
                     end,
                 per_thread([](const Row& a, Row& d) {
                     const bool equal = a[2] % 2 == 0 || (a[0] == a[2] && a[1] == a[3]);
                     d = {a[0], a[1], equal ? a[3] : a[0], equal ? a[2] : a[1]};
                 })};
    compare.needs = 90;
    cases.push_back(std::move(compare));
}

// Thread 0 waits for the bytes that all of its block send.
void add_async(Cases& cases) {
    const std::string begin =
        ".shared .align 16 .b8 tile[1024]; .shared .b32 sum; .shared .b64 bar; .reg .pred %p;\n"
        ".reg .b32 %t, %at, %sum, %bar; mov.u32 %t, %tid.x; setp.eq.u32 %p, %t, 0;\n"
        "mov.u32 %at, tile; mov.u32 %sum, sum; mov.u32 %bar, bar;\n"
        "@%p st.shared.b32 [sum], 0; @%p mbarrier.init.shared.b64 [bar], 1;\n"
        "@%p mbarrier.arrive.expect_tx.shared.b64 _, [bar], 1280; bar.sync 0;\n"
        "xor.b32 %t, %t, 33; shl.b32 %t, %t, 4; add.u32 %t, %t, %at;\n"
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%t], {%a0, %a1, %a2, "
        "%a3}, [%bar];\n"
        "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%sum], "
        "%a0, [%bar];\n"
        "wait: mbarrier.try_wait.parity.shared.b64 %p, [bar], 0; @!%p bra wait;\n"
        "mov.u32 %t, %tid.x; shl.b32 %t, %t, 4; add.u32 %t, %t, %at;\n"
        "ld.shared.v4.b32 {%d0, %d1, %d2, %d3}, [%t]; ld.shared.b32 %d4, [sum];";
    Case one{"st.async and red.async", std::vector<Kind>(4, Kind::kB32),
             std::vector<Kind>(5, Kind::kB32), begin, [](const Rows& in, Rows& out) {
                 for (std::size_t first = 0; first < in.size(); first += 64) {
                     U64 sum = 0;
                     for (std::size_t i = first; i < first + 64; ++i) sum += in[i][0];
                     for (std::size_t i = first; i < first + 64; ++i) {
                         out[i] = in[i ^ 33];
                         out[i][4] = sum;
                     }
                 }
             }};
    one.needs = 90;
    one.threads = 64;
    cases.push_back(std::move(one));
}

U64 saturated(unsigned bits, bool is_signed, U64 value) {
    const S64 most = (S64{1} << (is_signed ? bits - 1 : bits)) - 1;
    const S64 least = is_signed ? -most - 1 : 0;
    const S64 number = static_cast<std::int32_t>(value);
    const S64 result = number < least ? least : number > most ? most : number;
    return static_cast<U64>(result) & ((U64{1} << bits) - 1);
}

void add_packs(Cases& cases) {
    for (const unsigned bits : {16u, 8u, 4u, 2u}) {
        for (const bool is_signed : {false, true}) {
            const bool above = bits < 16;
            const std::string name = std::string("cvt.pack.sat.") + (is_signed ? "s" : "u") +
                                     std::to_string(bits) + ".s32" + (above ? ".b32" : "");
            cases.push_back({name,
                             // Counts are mostly small: they are not all saturated.
                             {Kind::kCount, Kind::kB32, Kind::kB32},
                             {Kind::kB32, Kind::kB32},
                             name + " %d0, %a0, %a1" + (above ? ", %a2" : "") +
                                 "; sub.s32 %a0, 0, %a0; " + name + " %d1, %a1, %a0" +
                                 (above ? ", %a2" : "") + ";",
                             per_thread([=](const Row& a, Row& d) {
                                 const auto pack = [&](U64 high, U64 low) {
                                     const U64 both = saturated(bits, is_signed, high) << bits |
                                                      saturated(bits, is_signed, low);
                                     return above ? a[2] << (2 * bits) | both : both;
                                 };
                                 d[0] = pack(a[0], a[1]);
                                 d[1] = pack(a[1], 0 - a[0]);
                             })});
        }
    }
}

void add_logic(Cases& cases) {
    for (const bool both : {false, true}) {
        const std::string name = both ? "lop3.and.b32" : "lop3.or.b32";
        cases.push_back({name,
                         {Kind::kB32, Kind::kB32, Kind::kB32, Kind::kPredicate},
                         {Kind::kB32, Kind::kPredicate, Kind::kPredicate},
                         // The second one, of few bits, is often zero.
                         name + " %d0|%d1, %a0, %a1, %a2, 0x96, %a3;\nand.b32 %a0, %a0, 5; " +
                             name + " _|%d2, %a0, %a1, %a2, 0x80, !%a3;",
                         per_thread([=](const Row& a, Row& d) {
                             const U32 all = static_cast<U32>(a[0] ^ a[1] ^ a[2]);
                             const U32 few = static_cast<U32>(a[0] & a[1] & a[2] & 5);
                             const bool q = (a[3] & 1) != 0;
                             d[0] = all;
                             d[1] = both ? (all != 0 && q) : (all != 0 || q);
                             d[2] = both ? (few != 0 && !q) : (few != 0 || !q);
                         })});
        cases.back().needs = 75;
    }
}

}  // namespace

void add_packed_cases(Cases& cases) {
    add_vector(cases, "f32", Kind::kUnit, 2, 1, kFormatF32);
    add_vector(cases, "f32", Kind::kUnit, 4, 1, kFormatF32);
    add_vector(cases, "f16", Kind::kF16, 2, 1, kFormatF16);
    add_vector(cases, "bf16", Kind::kBf16, 4, 1, kFormatBf16);
    add_vector(cases, "f16x2", Kind::kF16x2, 2, 2, kFormatF16);
    add_vector(cases, "bf16x2", Kind::kBf16x2, 4, 2, kFormatBf16);
    add_wide(cases);
    add_async(cases);
    add_packs(cases);
    add_logic(cases);
}

}  // namespace cubar::instruction
