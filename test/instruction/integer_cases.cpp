// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

// A binary operation on all integer types.
template <typename Function>
void binary(Cases& cases, const std::string& name, Function function,
            const std::vector<IntegerType>& types = kIntegerTypes) {
    for (const IntegerType& type : types) {
        cases.push_back({name + "." + type.name,
                         {type.kind(), type.kind()},
                         {type.kind()},
                         name + "." + type.name + " %d0, %a0, %a1;",
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = type.cut(function(type, type.read(a[0]), type.read(a[1])));
                         })});
    }
}

template <typename Function>
void ternary(Cases& cases, const std::string& name, Function function,
             const std::vector<IntegerType>& types = kIntegerTypes) {
    for (const IntegerType& type : types) {
        cases.push_back({name + "." + type.name,
                         {type.kind(), type.kind(), type.kind()},
                         {type.kind()},
                         name + "." + type.name + " %d0, %a0, %a1, %a2;",
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = type.cut(
                                 function(type, type.read(a[0]), type.read(a[1]), type.read(a[2])));
                         })});
    }
}

Wide high(const IntegerType& type, Wide product) {
    return product >> type.bits;
}

Wide clamp(const IntegerType& type, Wide value) {
    const Wide most = (Wide{1} << (type.bits - 1)) - 1;
    return value > most ? most : value < -most - 1 ? -most - 1 : value;
}

// 24-bit operands: the upper byte is ignored.
Wide low24(const IntegerType& type, Wide value) {
    const Wide bits = value & 0xffffff;
    return type.is_signed && (bits & 0x800000) != 0 ? bits - 0x1000000 : bits;
}

void add_wide_products(Cases& cases) {
    for (const IntegerType& type : kIntegerTypes) {
        if (type.bits == 64) continue;
        const IntegerType wide{type.is_signed ? "s" : "u", 2 * type.bits, type.is_signed};
        cases.push_back({std::string("mul.wide.") + type.name,
                         {type.kind(), type.kind()},
                         {wide.kind()},
                         std::string("mul.wide.") + type.name + " %d0, %a0, %a1;",
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = wide.cut(type.read(a[0]) * type.read(a[1]));
                         })});
        cases.push_back({std::string("mad.wide.") + type.name,
                         {type.kind(), type.kind(), wide.kind()},
                         {wide.kind()},
                         std::string("mad.wide.") + type.name + " %d0, %a0, %a1, %a2;",
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = wide.cut(type.read(a[0]) * type.read(a[1]) + wide.read(a[2]));
                         })});
    }
}

void add_dot_products(Cases& cases) {
    for (const bool a_signed : {false, true}) {
        for (const bool b_signed : {false, true}) {
            const std::string types =
                std::string(a_signed ? ".s32" : ".u32") + (b_signed ? ".s32" : ".u32");
            const IntegerType byte_a{"", 8, a_signed};
            const IntegerType byte_b{"", 8, b_signed};
            const IntegerType half_a{"", 16, a_signed};
            cases.push_back({"dp4a" + types,
                             {Kind::kB32, Kind::kB32, Kind::kB32},
                             {Kind::kB32},
                             "dp4a" + types + " %d0, %a0, %a1, %a2;",
                             per_thread([=](const Row& a, Row& d) {
                                 Wide sum = static_cast<Wide>(a[2]);
                                 for (unsigned i = 0; i < 4; ++i) {
                                     sum += byte_a.read(a[0] >> 8 * i) * byte_b.read(a[1] >> 8 * i);
                                 }
                                 d[0] = static_cast<std::uint32_t>(sum);
                             })});
            for (const unsigned first : {0u, 2u}) {
                const std::string name = std::string("dp2a.") + (first == 0 ? "lo" : "hi") + types;
                cases.push_back({name,
                                 {Kind::kB32, Kind::kB32, Kind::kB32},
                                 {Kind::kB32},
                                 name + " %d0, %a0, %a1, %a2;",
                                 per_thread([=](const Row& a, Row& d) {
                                     Wide sum = static_cast<Wide>(a[2]);
                                     for (unsigned i = 0; i < 2; ++i) {
                                         sum += half_a.read(a[0] >> 16 * i) *
                                                byte_b.read(a[1] >> 8 * (first + i));
                                     }
                                     d[0] = static_cast<std::uint32_t>(sum);
                                 })});
            }
        }
    }
}

}  // namespace

void add_integer_cases(Cases& cases) {
    binary(cases, "add", [](const auto&, Wide a, Wide b) { return a + b; });
    binary(cases, "sub", [](const auto&, Wide a, Wide b) { return a - b; });
    binary(cases, "mul.lo", [](const auto&, Wide a, Wide b) { return multiply(a, b); });
    binary(cases, "mul.hi",
           [](const auto& type, Wide a, Wide b) { return high(type, multiply(a, b)); });
    binary(cases, "min", [](const auto&, Wide a, Wide b) { return a < b ? a : b; });
    binary(cases, "max", [](const auto&, Wide a, Wide b) { return a > b ? a : b; });
    binary(cases, "add.sat", [](const auto& type, Wide a, Wide b) { return clamp(type, a + b); },
           {kS32});
    binary(cases, "sub.sat", [](const auto& type, Wide a, Wide b) { return clamp(type, a - b); },
           {kS32});
    ternary(cases, "mad.lo", [](const auto&, Wide a, Wide b, Wide c) {
        // 64-bit operands may need a bit more than 128, of which the low 64 are compared.
        __extension__ typedef unsigned __int128 Bits;
        return static_cast<Wide>(static_cast<Bits>(multiply(a, b)) + static_cast<Bits>(c));
    });
    ternary(cases, "mad.hi", [](const auto& type, Wide a, Wide b, Wide c) {
        return high(type, multiply(a, b)) + c;
    });
    ternary(cases, "mad.hi.sat",
            [](const auto& type, Wide a, Wide b, Wide c) {
                return clamp(type, high(type, multiply(a, b)) + c);
            },
            {kS32});
    ternary(cases, "sad",
            [](const auto&, Wide a, Wide b, Wide c) { return c + (a < b ? b - a : a - b); });
    const std::vector<IntegerType> words{kU32, kS32};
    binary(
        cases, "mul24.lo",
        [](const auto& type, Wide a, Wide b) { return low24(type, a) * low24(type, b); }, words);
    binary(
        cases, "mul24.hi",
        [](const auto& type, Wide a, Wide b) { return low24(type, a) * low24(type, b) >> 16; },
        words);
    ternary(
        cases, "mad24.lo",
        [](const auto& type, Wide a, Wide b, Wide c) {
            return low24(type, a) * low24(type, b) + c;
        },
        words);
    ternary(
        cases, "mad24.hi",
        [](const auto& type, Wide a, Wide b, Wide c) {
            return (low24(type, a) * low24(type, b) >> 16) + c;
        },
        words);
    ternary(cases, "mad24.hi.sat",
            [](const auto& type, Wide a, Wide b, Wide c) {
                return clamp(type, (low24(type, a) * low24(type, b) >> 16) + c);
            },
            {kS32});
    // Division by zero is unspecified: a divisor that is zero is replaced before.
    for (const IntegerType& type : kIntegerTypes) {
        for (const bool remainder : {false, true}) {
            const std::string name = std::string(remainder ? "rem." : "div.") + type.name;
            const std::string bits = "b" + std::to_string(type.bits);
            cases.push_back(
                {name,
                 {type.kind(), type.kind()},
                 {type.kind()},
                 "{ .reg .pred %zero; setp.eq." + bits + " %zero, %a1, 0;\n@%zero mov." + bits +
                     " %a1, 1; }\n" + name + " %d0, %a0, %a1;",
                 per_thread([=](const Row& a, Row& d) {
                     const Wide x = type.read(a[0]);
                     const Wide y = type.cut(type.read(a[1])) == 0 ? 1 : type.read(a[1]);
                     d[0] = type.cut(remainder ? x % y : x / y);
                 })});
        }
        if (!type.is_signed) continue;
        for (const bool negate : {false, true}) {
            const std::string name = std::string(negate ? "neg." : "abs.") + type.name;
            cases.push_back({name,
                             {type.kind()},
                             {type.kind()},
                             name + " %d0, %a0;",
                             per_thread([=](const Row& a, Row& d) {
                                 const Wide x = type.read(a[0]);
                                 d[0] = type.cut(negate || x < 0 ? -x : x);
                             })});
        }
    }
    add_wide_products(cases);
    add_dot_products(cases);
}

}  // namespace cubar::instruction
