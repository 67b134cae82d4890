// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

struct Place {
    const char* name;
    const char* setup;  // leaves the address of 8 bytes of the thread's own in %p
    const char* suffix;
};

const Place kPlaces[] = {
    {"global", ".reg .b64 %p; add.u64 %p, %out, 56;", ".global"},
    {"shared",
     ".reg .b64 %p; .shared .align 8 .b8 tile[2048]; .reg .b32 %t; mov.u32 %t, %tid.x;\n"
     "mul.wide.u32 %p, %t, 8; .reg .b64 %base; mov.u64 %base, tile; add.u64 %p, %p, %base;",
     ".shared"},
    {"generic", ".reg .b64 %p; cvta.global.u64 %p, %out; add.u64 %p, %p, 56;", ""},
};

// The old value, the new one, and that red does the same.
template <typename Function>
void add(Cases& cases, const std::string& op, const char* type, Kind kind, Function function) {
    const bool swaps = op == "cas" || op == "exch";
    const std::string memory = bits_of(kind) == 64 ? "b64" : bits_of(kind) == 16 ? "b16" : "b32";
    for (const Place& place : kPlaces) {
        for (const char* const semantics : {"", ".relaxed.gpu", ".acq_rel.cta"}) {
            const std::string tail = std::string(place.suffix) + "." + op + "." + type;
            std::string code = std::string(place.setup) + " st" + place.suffix + "." + memory +
                               " [%p], %a0;\natom" + semantics + tail + " %d0, [%p], %a1" +
                               (op == "cas" ? ", %a2" : "") + ";\nld" + place.suffix + "." +
                               memory + " %d1, [%p];";
            if (!swaps && std::string(semantics) != ".acq_rel.cta") {
                code += "\nst" + std::string(place.suffix) + "." + memory + " [%p], %a0; red" +
                        semantics + tail + " [%p], %a1; ld" + place.suffix + "." + memory +
                        " %d2, [%p];";
            } else {
                code += "\nmov." + memory + " %d2, %d1;";
            }
            cases.push_back(
                {std::string("atom") + semantics + "." + op + "." + type + " " + place.name,
                 {kind, kind, kind},
                 {kind, kind, kind},
                 code,
                 per_thread([=](const Row& a, Row& d) {
                     d[0] = a[0];
                     d[1] = function(a[0], a[1], a[2]);
                     d[2] = d[1];
                 })});
        }
    }
}

void add_each_thread(Cases& cases) {
    for (const IntegerType& type : {kU32, kS32, kU64, kS64}) {
        const Kind kind = type.kind();
        // There is no atom.add.s64.
        if (type.bits == 32 || !type.is_signed) {
            add(cases, "add", type.name, kind, [](U64 a, U64 b, U64) { return a + b; });
        }
        add(cases, "min", type.name, kind,
            [=](U64 a, U64 b, U64) { return type.read(a) < type.read(b) ? a : b; });
        add(cases, "max", type.name, kind,
            [=](U64 a, U64 b, U64) { return type.read(a) > type.read(b) ? a : b; });
    }
    for (const char* const type : {"b32", "b64"}) {
        const Kind kind = type[1] == '3' ? Kind::kB32 : Kind::kB64;
        add(cases, "and", type, kind, [](U64 a, U64 b, U64) { return a & b; });
        add(cases, "or", type, kind, [](U64 a, U64 b, U64) { return a | b; });
        add(cases, "xor", type, kind, [](U64 a, U64 b, U64) { return a ^ b; });
        add(cases, "exch", type, kind, [](U64, U64 b, U64) { return b; });
        add(cases, "cas", type, kind, [](U64 a, U64 b, U64 c) { return a == b ? c : a; });
    }
    add(cases, "cas", "b16", Kind::kB16, [](U64 a, U64 b, U64 c) { return a == b ? c : a; });
    add(cases, "inc", "u32", Kind::kB32, [](U64 a, U64 b, U64) { return a >= b ? 0 : a + 1; });
    add(cases, "dec", "u32", Kind::kB32,
        [](U64 a, U64 b, U64) { return a == 0 || a > b ? b : a - 1; });
    add(cases, "add", "f32", Kind::kUnit, [](U64 a, U64 b, U64) -> U64 {
        const float sum = std::bit_cast<float>(static_cast<std::uint32_t>(a)) +
                          std::bit_cast<float>(static_cast<std::uint32_t>(b));
        return std::bit_cast<std::uint32_t>(sum);
    });
    add(cases, "add", "f64", Kind::kF64, [](U64 a, U64 b, U64) {
        return std::bit_cast<U64>(std::bit_cast<double>(a) + std::bit_cast<double>(b));
    });
}

// All threads of a block, or all of them, on one word.
void add_contention(Cases& cases) {
    cases.push_back({"atom.shared.add by a whole block",
                     {Kind::kB32},
                     {Kind::kB32, Kind::kB32},
                     ".shared .b32 sum, most; .reg .pred %first; mov.u32 %scratch, %tid.x;\n"
                     "setp.eq.u32 %first, %scratch, 0; @%first st.shared.u32 [sum], 0;\n"
                     "@%first st.shared.u32 [most], 0; bar.sync 0;\n"
                     "atom.shared.add.u32 %scratch, [sum], %a0; red.shared.max.u32 [most], %a0;\n"
                     "bar.sync 0; ld.shared.u32 %d0, [sum]; ld.shared.u32 %d1, [most];",
                     [](const Rows& in, Rows& out) {
                         for (std::size_t first = 0; first < in.size(); first += 256) {
                             U64 sum = 0;
                             U64 most = 0;
                             for (std::size_t i = first; i < first + 256; ++i) {
                                 sum += in[i][0];
                                 most = in[i][0] > most ? in[i][0] : most;
                             }
                             for (std::size_t i = first; i < first + 256; ++i) {
                                 out[i][0] = sum;
                                 out[i][1] = most;
                             }
                         }
                     }});
    cases.push_back(
        {"atom.global.inc gives every thread its number",
         {Kind::kB32},
         {Kind::kB32},
         ".reg .b64 %p; mov.u64 %p, numbers; mov.u32 %scratch, %ctaid.x;\n"
         ".reg .b64 %o; mul.wide.u32 %o, %scratch, 4; add.u64 %p, %p, %o;\n"
         ".shared .b32 seen[256]; .reg .b32 %t, %n; .reg .b64 %s, %q; mov.u32 %t, %tid.x;\n"
         "mul.wide.u32 %q, %t, 4; mov.u64 %s, seen; add.u64 %q, %q, %s;\n"
         "st.shared.u32 [%q], 0; bar.sync 0;\n"
         "atom.global.inc.u32 %n, [%p], 0xffffffff;\n"
         "mul.wide.u32 %o, %n, 4; add.u64 %o, %o, %s; red.shared.add.u32 [%o], 1;\n"
         "bar.sync 0; ld.shared.u32 %d0, [%q];",
         per_thread([](const Row&, Row& d) { d[0] = 1; }),
         {},
         ".global .align 4 .b32 numbers[4];\n"});
}

}  // namespace

void add_atomic_cases(Cases& cases) {
    add_each_thread(cases);
    add_contention(cases);
}

}  // namespace cubar::instruction
