// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

// less, equal and unordered are facts about a and b.
bool holds(std::string_view op, bool less, bool equal, bool unordered) {
    if (op == "num") return !unordered;
    if (op == "nan") return unordered;
    if (op.size() == 3) {
        if (unordered) return true;
        op.remove_suffix(1);
    }
    if (unordered) return false;
    if (op == "eq") return equal;
    if (op == "ne") return !equal;
    if (op == "lt" || op == "lo") return less;
    if (op == "le" || op == "ls") return less || equal;
    if (op == "gt" || op == "hi") return !less && !equal;
    return !less;
}

bool combine(char op, bool a, bool b) {
    return op == 'a' ? a && b : op == 'o' ? a || b : a != b;
}

struct Comparable {
    std::string name;
    Kind kind;
    std::vector<std::string> operators;
    std::function<bool(std::string_view, const Row&)> compare;
};

std::vector<Comparable> comparables() {
    std::vector<Comparable> list;
    for (const IntegerType& type : kIntegerTypes) {
        std::vector<std::string> operators{"eq", "ne", "lt", "le", "gt", "ge"};
        if (!type.is_signed) operators.insert(operators.end(), {"lo", "ls", "hi", "hs"});
        list.push_back({type.name, type.kind(), operators, [=](std::string_view op, const Row& a) {
                            const Wide x = type.read(a[0]);
                            const Wide y = type.read(a[1]);
                            return holds(op, x < y, x == y, false);
                        }});
    }
    for (const unsigned bits : {16u, 32u, 64u}) {
        const IntegerType type{"", bits, false};
        list.push_back({"b" + std::to_string(bits),
                        type.kind(),
                        {"eq", "ne"},
                        [=](std::string_view op, const Row& a) {
                            return holds(op, false, type.read(a[0]) == type.read(a[1]), false);
                        }});
    }
    const std::vector<std::string> operators{"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                             "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
    struct Float {
        const char* name;
        Kind kind;
        Format format;
        bool ftz;
    };
    for (const Float& type :
         {Float{"f16", Kind::kF16, kFormatF16, false}, Float{"f32", Kind::kF32, kFormatF32, false},
          Float{"ftz.f32", Kind::kF32, kFormatF32, true},
          Float{"f64", Kind::kF64, kFormatF64, false}}) {
        list.push_back({type.name, type.kind, operators, [=](std::string_view op, const Row& a) {
                            const Quad x =
                                decode(type.format, type.ftz ? flush(type.format, a[0]) : a[0]);
                            const Quad y =
                                decode(type.format, type.ftz ? flush(type.format, a[1]) : a[1]);
                            return holds(op, x < y, x == y, is_nan(x) || is_nan(y));
                        }});
    }
    return list;
}

void add_selections(Cases& cases) {
    for (const IntegerType& type : kIntegerTypes) {
        const std::string name = std::string("selp.") + type.name;
        cases.push_back({name,
                         {type.kind(), type.kind(), Kind::kPredicate},
                         {type.kind()},
                         name + " %d0, %a0, %a1, %a2;",
                         per_thread([](const Row& a, Row& d) { d[0] = a[2] != 0 ? a[0] : a[1]; })});
        const std::string by_integer = std::string("slct.") + type.name + ".s32";
        cases.push_back({by_integer,
                         {type.kind(), type.kind(), Kind::kB32},
                         {type.kind()},
                         by_integer + " %d0, %a0, %a1, %a2;",
                         per_thread([](const Row& a, Row& d) {
                             d[0] = static_cast<std::int32_t>(a[2]) >= 0 ? a[0] : a[1];
                         })});
        for (const bool ftz : {false, true}) {
            const std::string by_float =
                std::string("slct.") + (ftz ? "ftz." : "") + type.name + ".f32";
            cases.push_back({by_float,
                             {type.kind(), type.kind(), Kind::kF32},
                             {type.kind()},
                             by_float + " %d0, %a0, %a1, %a2;",
                             per_thread([=](const Row& a, Row& d) {
                                 const Quad c =
                                     decode(kFormatF32, ftz ? flush(kFormatF32, a[2]) : a[2]);
                                 d[0] = c >= 0 ? a[0] : a[1];
                             })});
        }
    }
}

}  // namespace

void add_compare_cases(Cases& cases) {
    for (const Comparable& type : comparables()) {
        for (const std::string& op : type.operators) {
            const std::string name = "setp." + op + "." + type.name;
            const auto compare = type.compare;
            // A comparison of halves has no second destination: its place is for f16x2.
            const bool has_pair = type.name != "f16";
            const std::string targets = has_pair ? " %d0|%d1" : " %d0";
            const std::vector<Kind> results(has_pair ? 2 : 1, Kind::kPredicate);
            cases.push_back({name,
                             {type.kind, type.kind},
                             results,
                             name + targets + ", %a0, %a1;",
                             per_thread([=](const Row& a, Row& d) {
                                 d[0] = compare(op, a);
                                 d[1] = !compare(op, a);
                             })});
            for (const char* const bool_op : {"and", "or", "xor"}) {
                const std::string combined = "setp." + op + "." + bool_op + "." + type.name;
                const char letter = bool_op[0];
                cases.push_back({combined,
                                 {type.kind, type.kind, Kind::kPredicate},
                                 results,
                                 combined + targets + ", %a0, %a1, !%a2;",
                                 per_thread([=](const Row& a, Row& d) {
                                     d[0] = combine(letter, compare(op, a), a[2] == 0);
                                     d[1] = combine(letter, !compare(op, a), a[2] == 0);
                                 })});
            }
            if (!has_pair) continue;  // set.…f16 came with newer devices
            const bool ftz = type.name.starts_with("ftz.");
            const std::string source = ftz ? type.name.substr(4) : type.name;
            const std::string prefix = "set." + op + (ftz ? ".ftz" : "");
            for (const char* const target : {"u32", "s32", "f32"}) {
                const std::string set = prefix + "." + target + "." + source;
                const bool is_float = target[0] == 'f';
                cases.push_back(
                    {set,
                     {type.kind, type.kind},
                     {is_float ? Kind::kF32 : Kind::kB32},
                     set + " %d0, %a0, %a1;",
                     per_thread([=](const Row& a, Row& d) {
                         d[0] = !compare(op, a) ? 0 : is_float ? 0x3f800000 : 0xffffffff;
                     })});
            }
        }
    }
    add_selections(cases);
}

}  // namespace cubar::instruction
