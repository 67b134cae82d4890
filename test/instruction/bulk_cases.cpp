// SPDX-License-Identifier: Apache-2.0
// cp.reduce.async.bulk: 16 bytes of each thread, combined with what is there, element by element.
#include <bit>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

constexpr unsigned kBytes = 16;
constexpr unsigned kThreads = 64;

// `function(old, value)` is what becomes of an element. `op` is the operation with its type.
template <typename Function>
void add(Cases& cases, const std::string& op, Kind kind, bool shared, Function function) {
    const unsigned each = bits_of(kind) / 8;
    const unsigned count = kBytes / each;
    const std::string memory = ".b" + std::to_string(each * 8) + " ";
    const auto at = [&](const char* base, unsigned i) {
        return std::string("[") + base + "+" + std::to_string(i * each) + "]";
    };
    const char* const to = shared ? "%sum" : "%out";
    const std::string space = shared ? ".shared" : ".global";
    std::string code =
        ".shared .align 16 .b8 tile[1024]; .shared .align 16 .b8 sums[1024]; .shared .b64 bar;\n"
        ".reg .pred %first, %done; .reg .b32 %mine, %sum, %t;\n"
        "mov.u32 %t, %tid.x; setp.eq.u32 %first, %t, 0; shl.b32 %t, %t, 4;\n"
        "mov.u32 %mine, tile; add.u32 %mine, %mine, %t; mov.u32 %sum, sums;\n"
        "add.u32 %sum, %sum, %t; @%first mbarrier.init.shared::cta.b64 [bar], 64; bar.sync 0;\n";
    for (unsigned i = 0; i < count; ++i) {
        code += "st.shared" + memory + at("%mine", i) + ", %a" + std::to_string(i) + "; st" +
                space + memory + at(to, i) + ", %a" + std::to_string(count + i) + ";\n";
    }
    if (shared) {
        code +=
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], 16;\n"
            "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes." +
            op +
            " [%sum], [%mine], 16, [bar];\n"
            "wait: mbarrier.try_wait.parity.shared::cta.b64 %done, [bar], 0; @!%done bra wait;\n";
    } else {
        code += "cp.reduce.async.bulk.global.shared::cta.bulk_group." + op +
                " [%out], [%mine], 16; cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;\n";
    }
    for (unsigned i = 0; i < count; ++i) {
        code += "ld" + space + memory + "%d" + std::to_string(i) + ", " + at(to, i) + ";\n";
    }
    Case one{"cp.reduce.async.bulk" + space + "." + op, std::vector<Kind>(2 * count, kind),
             std::vector<Kind>(count, kind), code, per_thread([=](const Row& in, Row& out) {
                 for (unsigned i = 0; i < count; ++i) out[i] = function(in[count + i], in[i]);
             })};
    one.needs = 90;
    one.blocks = 2;
    one.threads = kThreads;
    cases.push_back(std::move(one));
}

void add_integers(Cases& cases, bool shared) {
    for (const IntegerType& type : {kU32, kS32, kU64, kS64}) {
        const std::string name = std::string(".") + type.name;
        if (type.bits == 32 || !type.is_signed) {
            add(cases, "add" + name, type.kind(), shared, [=](U64 a, U64 b) {
                return type.cut(static_cast<Wide>(a) + static_cast<Wide>(b));
            });
        }
        if (shared && type.bits == 64) continue;
        add(cases, "min" + name, type.kind(), shared,
            [=](U64 a, U64 b) { return type.read(a) < type.read(b) ? a : b; });
        add(cases, "max" + name, type.kind(), shared,
            [=](U64 a, U64 b) { return type.read(a) > type.read(b) ? a : b; });
    }
    for (const Kind kind : {Kind::kB32, Kind::kB64}) {
        if (shared && kind == Kind::kB64) continue;
        const std::string name = ".b" + std::to_string(bits_of(kind));
        add(cases, "and" + name, kind, shared, [](U64 a, U64 b) { return a & b; });
        add(cases, "or" + name, kind, shared, [](U64 a, U64 b) { return a | b; });
        add(cases, "xor" + name, kind, shared, [](U64 a, U64 b) { return a ^ b; });
    }
    add(cases, "inc.u32", Kind::kB32, shared, [](U64 a, U64 b) { return a >= b ? 0 : a + 1; });
    add(cases, "dec.u32", Kind::kB32, shared,
        [](U64 a, U64 b) { return a == 0 || a > b ? b : a - 1; });
}

void add_floats(Cases& cases, const std::string& type, const Format& format, Kind kind) {
    const bool half = bits_of(kind) == 16;
    add(cases, (half ? "add.noftz." : "add.") + type, kind, false, [=](U64 a, U64 b) {
        return encode(format, cubar::instruction::add(decode(format, a), decode(format, b)),
                      Round::kNearest);
    });
    if (!half) return;
    for (const bool least : {true, false}) {
        add(cases, (least ? "min." : "max.") + type, kind, false, [=](U64 a, U64 b) {
            const Quad x = decode(format, a), y = decode(format, b);
            if (is_nan(x) || is_nan(y)) return is_nan(x) ? b : a;
            const bool a_less = x < y || (x == y && is_negative(x));
            return a_less == least ? a : b;
        });
    }
}

}  // namespace

void add_bulk_cases(Cases& cases) {
    add_integers(cases, false);
    add_integers(cases, true);
    add_floats(cases, "f16", kFormatF16, Kind::kF16);
    add_floats(cases, "bf16", kFormatBf16, Kind::kBf16);
    add_floats(cases, "f32", kFormatF32, Kind::kUnit);
    add_floats(cases, "f64", kFormatF64, Kind::kF64);
}

}  // namespace cubar::instruction
