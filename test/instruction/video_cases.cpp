// SPDX-License-Identifier: Apache-2.0
// The video instructions: on all four bytes or both halves of a word, and on one part of each
// operand.
#include <string_view>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

Wide operate(std::string_view op, Wide a, Wide b) {
    if (op == "vadd") return a + b;
    if (op == "vsub") return a - b;
    if (op == "vabsdiff") return a < b ? b - a : a - b;
    if (op == "vmin") return a < b ? a : b;
    if (op == "vset") return a < b ? 1 : 0;
    return a < b ? b : a;
}

Wide limit(Wide value, unsigned bits, bool is_signed) {
    const Wide most = (Wide{1} << (is_signed ? bits - 1 : bits)) - 1;
    const Wide least = is_signed ? -most - 1 : 0;
    return value > most ? most : value < least ? least : value;
}

void add_operation(Cases& cases, const std::string& op, unsigned parts, bool is_signed, char mode) {
    const std::string type = is_signed ? ".s32" : ".u32";
    const std::string name = op + std::to_string(parts) + type + type + type +
                             (mode == 's'   ? ".sat"
                              : mode == 'a' ? ".add"
                                            : "");
    const unsigned bits = 32 / parts;
    const IntegerType part{"", bits, is_signed};
    cases.push_back({name,
                     {Kind::kB32, Kind::kB32, Kind::kB32},
                     {Kind::kB32},
                     name + " %d0, %a0, %a1, %a2;",
                     per_thread([=](const Row& a, Row& d) {
                         Wide sum = static_cast<Wide>(a[2]);
                         std::uint64_t packed = 0;
                         for (unsigned i = 0; i < parts; ++i) {
                             Wide value = operate(op, part.read(a[0] >> (bits * i)),
                                                  part.read(a[1] >> (bits * i)));
                             sum += value;
                             if (mode == 's') value = limit(value, bits, is_signed);
                             packed |= part.cut(value) << (bits * i);
                         }
                         d[0] = mode == 'a' ? static_cast<std::uint32_t>(sum) : packed;
                     })});
}

// Scalar ones. A part of a register: its name and place.
struct Part {
    const char* name;
    unsigned at, bits;

    Wide read(std::uint64_t word, bool is_signed) const {
        return IntegerType{"", bits, is_signed}.read(word >> at);
    }
};

constexpr Part kWord{"", 0, 32};
constexpr Part kParts[] = {kWord,          {".b0", 0, 8},  {".b1", 8, 8},  {".b2", 16, 8},
                           {".b3", 24, 8}, {".h0", 0, 16}, {".h1", 16, 16}};

const char* type_name(bool is_signed) {
    return is_signed ? ".s32" : ".u32";
}

// `second`: what follows with the third operand, or nothing. A destination that is no word is
// merged into the third operand.
struct Scalar {
    std::string op;
    bool signed_d, signed_a, signed_b, sat;
    std::string second;
    Part d, a, b;
};

void add_scalar(Cases& cases, const Scalar& one) {
    const bool is_set = one.op == "vset";
    const bool has_c = !one.second.empty() || one.d.bits != 32;
    const std::string name = one.op + (is_set ? "" : type_name(one.signed_d)) +
                             type_name(one.signed_a) + type_name(one.signed_b) +
                             (is_set ? ".lt" : "") + (one.sat ? ".sat" : "") + one.second;
    const std::string code = name + " %d0" + one.d.name + ", %a0" + one.a.name + ", %a1" +
                             one.b.name + (has_c ? ", %a2;" : ";");
    const bool d_is_signed = one.signed_d && !is_set;
    cases.push_back({code,
                     {Kind::kB32, Kind::kB32, Kind::kB32},
                     {Kind::kB32},
                     code,
                     per_thread([=](const Row& a, Row& d) {
                         Wide value = operate(one.op, one.a.read(a[0], one.signed_a),
                                              one.b.read(a[1], one.signed_b));
                         if (one.sat) value = limit(value, one.d.bits, d_is_signed);
                         const IntegerType word = d_is_signed ? kS32 : kU32;
                         const Wide first = word.read(word.cut(value));
                         const Wide c = word.read(a[2]);
                         if (one.d.bits != 32) {
                             const std::uint64_t where = ((1ull << one.d.bits) - 1) << one.d.at;
                             d[0] = (a[2] & ~where) | (word.cut(value) << one.d.at & where);
                         } else if (one.second == ".add") {
                             d[0] = word.cut(first + c);
                         } else if (one.second == ".min") {
                             d[0] = word.cut(first < c ? first : c);
                         } else if (one.second == ".max") {
                             d[0] = word.cut(first < c ? c : first);
                         } else {
                             d[0] = word.cut(first);
                         }
                     })});
}

void add_scalars(Cases& cases) {
    for (const char* const op : {"vadd", "vsub", "vabsdiff", "vmin", "vmax", "vset"}) {
        for (unsigned signs = 0; signs < 8; ++signs) {
            const bool d = (signs & 1) != 0, a = (signs & 2) != 0, b = (signs & 4) != 0;
            const bool is_set = op == std::string_view("vset");
            if (is_set && d) continue;
            for (const char* const second : {"", ".add", ".min", ".max"}) {
                add_scalar(cases, {op, d, a, b, false, second, kWord, kWord, kWord});
                if (is_set) continue;
                add_scalar(cases, {op, d, a, b, true, second, kWord, kParts[signs % 7], kWord});
            }
            for (const Part& part : kParts) {
                add_scalar(cases, {op, d, a, b, false, "", part, kParts[signs % 7], part});
                if (is_set) continue;
                add_scalar(cases, {op, d, a, b, true, "", part, part, kParts[(signs + 3) % 7]});
            }
        }
    }
}

void add_shifts(Cases& cases) {
    for (const bool left : {true, false}) {
        for (unsigned signs = 0; signs < 4; ++signs) {
            for (const bool wrap : {false, true}) {
                for (const bool sat : {false, true}) {
                    const bool d_is_signed = (signs & 1) != 0, a_is_signed = (signs & 2) != 0;
                    const std::string code = std::string(left ? "vshl" : "vshr") +
                                             type_name(d_is_signed) + type_name(a_is_signed) +
                                             ".u32" + (sat ? ".sat" : "") +
                                             (wrap ? ".wrap" : ".clamp") + " %d0, %a0.h1, %a1.b0;";
                    cases.push_back({code,
                                     {Kind::kB32, Kind::kCount},
                                     {Kind::kB32},
                                     code,
                                     per_thread([=](const Row& a, Row& d) {
                                         const std::uint64_t byte = a[1] & 0xff;
                                         const std::uint64_t distance = wrap        ? byte % 32
                                                                        : byte > 32 ? 32
                                                                                    : byte;
                                         const Wide scale = Wide{1} << distance;
                                         const Wide from = Part{"", 16, 16}.read(a[0], a_is_signed);
                                         // Towards minus infinity, as a shift of two's complement
                                         // does.
                                         Wide value = left ? from * scale : from / scale;
                                         if (!left && from < 0 && from % scale != 0) value -= 1;
                                         if (sat) value = limit(value, 32, d_is_signed);
                                         d[0] = kU32.cut(value);
                                     })});
                }
            }
        }
    }
}

// Negated factors, or a negated third operand. A complement and one more make a negation.
void add_negated_multiply_adds(Cases& cases) {
    for (unsigned signs = 0; signs < 4; ++signs) {
        for (unsigned negated = 1; negated < 5; ++negated) {
            for (const bool sat : {false, true}) {
                const bool a_is_signed = (signs & 1) != 0, b_is_signed = (signs & 2) != 0;
                const bool minus_a = negated < 4 && (negated & 1) != 0;
                const bool minus_b = negated < 4 && (negated & 2) != 0;
                const bool minus_c = negated == 4;
                const bool minus_product = minus_a != minus_b;
                const bool is_signed = a_is_signed || b_is_signed || minus_product || minus_c;
                const std::string code =
                    std::string("vmad") + type_name(is_signed) + type_name(a_is_signed) +
                    type_name(b_is_signed) + (sat ? ".sat" : "") + (signs == 1 ? ".shr7" : "") +
                    " %d0, " + (minus_a ? "-" : "") + "%a0.b1, " + (minus_b ? "-" : "") + "%a1, " +
                    (minus_c ? "-" : "") + "%a2;";
                cases.push_back({code,
                                 {Kind::kB32, Kind::kB32, Kind::kB32},
                                 {Kind::kB32},
                                 code,
                                 per_thread([=](const Row& a, Row& d) {
                                     const Wide product = Part{"", 8, 8}.read(a[0], a_is_signed) *
                                                          kWord.read(a[1], b_is_signed);
                                     const Wide c = minus_c ? kWord.read(~a[2], true) + 1
                                                            : kWord.read(a[2], is_signed);
                                     const Wide sum = (minus_product ? -product : product) + c;
                                     const Wide divisor = signs == 1 ? 128 : 1;
                                     Wide value = sum / divisor;
                                     if (sum < 0 && sum % divisor != 0) value -= 1;
                                     d[0] = kU32.cut(sat ? limit(value, 32, is_signed) : value);
                                 })});
            }
        }
    }
}

void add_multiply_adds(Cases& cases) {
    for (unsigned signs = 0; signs < 4; ++signs) {
        for (const unsigned shift : {0u, 7u, 15u}) {
            for (const bool sat : {false, true}) {
                for (const bool plus : {false, true}) {
                    const bool a_is_signed = (signs & 1) != 0, b_is_signed = (signs & 2) != 0;
                    const bool is_signed = a_is_signed || b_is_signed;
                    const std::string scale = shift == 7 ? ".shr7" : shift == 15 ? ".shr15" : "";
                    const std::string code = std::string("vmad") + type_name(is_signed) +
                                             type_name(a_is_signed) + type_name(b_is_signed) +
                                             (plus ? ".po" : "") + (sat ? ".sat" : "") + scale +
                                             " %d0, %a0, %a1.h0, %a2;";
                    cases.push_back({code,
                                     {Kind::kB32, Kind::kB32, Kind::kB32},
                                     {Kind::kB32},
                                     code,
                                     per_thread([=](const Row& a, Row& d) {
                                         const Wide divisor = Wide{1} << shift;
                                         const Wide sum =
                                             kWord.read(a[0], a_is_signed) *
                                                 Part{"", 0, 16}.read(a[1], b_is_signed) +
                                             kWord.read(a[2], is_signed) + (plus ? 1 : 0);
                                         Wide value = sum / divisor;
                                         if (sum < 0 && sum % divisor != 0) value -= 1;
                                         d[0] = kU32.cut(sat ? limit(value, 32, is_signed) : value);
                                     })});
                }
            }
        }
    }
}

}  // namespace

void add_video_cases(Cases& cases) {
    for (const char* const op : {"vadd", "vsub", "vabsdiff", "vmin", "vmax"}) {
        for (const unsigned parts : {2u, 4u}) {
            for (const bool is_signed : {false, true}) {
                for (const char mode : {' ', 's', 'a'}) {
                    add_operation(cases, op, parts, is_signed, mode);
                }
            }
        }
    }
    add_scalars(cases);
    add_shifts(cases);
    add_multiply_adds(cases);
    add_negated_multiply_adds(cases);
}

}  // namespace cubar::instruction
