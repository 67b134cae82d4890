// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

struct Number {
    const char* name;
    unsigned bits;
    bool is_signed;
    bool is_float;

    Kind kind() const {
        if (is_float) return bits == 16 ? Kind::kF16 : bits == 32 ? Kind::kF32 : Kind::kF64;
        return bits <= 16 ? Kind::kB16 : bits == 32 ? Kind::kB32 : Kind::kB64;
    }
    Format format() const { return bits == 16 ? kFormatF16 : bits == 32 ? kFormatF32 : kFormatF64; }
    IntegerType integer() const { return {name, bits, is_signed}; }
};

const Number kNumbers[] = {
    {"u8", 8, false, false},   {"s8", 8, true, false},    {"u16", 16, false, false},
    {"s16", 16, true, false},  {"u32", 32, false, false}, {"s32", 32, true, false},
    {"u64", 64, false, false}, {"s64", 64, true, false},  {"f16", 16, true, true},
    {"f32", 32, true, true},   {"f64", 64, true, true},
};

struct Mode {
    const char* name;
    Round round;
};

const Mode kModes[] = {
    {"rn", Round::kNearest}, {"rz", Round::kZero}, {"rm", Round::kDown}, {"rp", Round::kUp}};

void add(Cases& cases, const std::string& name, const Number& to, const Number& from,
         const std::function<U64(U64)>& function) {
    cases.push_back({name,
                     {from.kind()},
                     {to.kind()},
                     name + " %d0, %a0;",
                     per_thread([=](const Row& a, Row& d) { d[0] = function(a[0]); })});
}

Wide least(const IntegerType& type) {
    return type.is_signed ? -(Wide{1} << (type.bits - 1)) : 0;
}

Wide most(const IntegerType& type) {
    return (Wide{1} << (type.is_signed ? type.bits - 1 : type.bits)) - 1;
}

// The value in a register that may be wider than the type: sign- or zero-extended.
U64 extend(const IntegerType& type, Wide value) {
    return static_cast<U64>(type.read(static_cast<U64>(value)));
}

void integer_to_integer(Cases& cases, const Number& to, const Number& from) {
    const IntegerType source = from.integer();
    const IntegerType target = to.integer();
    const bool always_fits = least(target) <= least(source) && most(target) >= most(source);
    for (const bool sat : {false, true}) {
        if (sat && always_fits) continue;  // ptxas refuses it
        const std::string name =
            std::string("cvt.") + (sat ? "sat." : "") + to.name + "." + from.name;
        add(cases, name, to, from, [=](U64 bits) {
            Wide value = source.read(bits);
            if (sat && value < least(target)) value = least(target);
            if (sat && value > most(target)) value = most(target);
            return extend(target, value);
        });
    }
}

Quad round_to_integer(Quad value, Round round) {
    // Beyond 2^100 every number is an integer already.
    if (value > 0x1p100 || value < -0x1p100) return value;
    const auto whole = static_cast<Wide>(value);
    const Quad rest = value - static_cast<Quad>(whole);
    Wide result = whole;
    const Quad distance = rest < 0 ? -rest : rest;
    const int away = value < 0 ? -1 : 1;
    switch (round) {
        case Round::kNearest:
            if (distance > 0.5 || (distance == 0.5 && (whole & 1) != 0)) result += away;
            break;
        case Round::kZero:
            break;
        case Round::kDown:
            if (rest < 0) --result;
            break;
        case Round::kUp:
            if (rest > 0) ++result;
            break;
    }
    const Quad rounded = static_cast<Quad>(result);
    return result == 0 && is_negative(value) ? -rounded : rounded;
}

void float_to_integer(Cases& cases, const Number& to, const Number& from) {
    const IntegerType target = to.integer();
    for (const Mode& mode : kModes) {
        for (const bool ftz : {false, true}) {
            if (ftz && from.bits != 32) continue;
            const std::string name = std::string("cvt.") + mode.name + (ftz ? "i.ftz." : "i.") +
                                     to.name + "." + from.name;
            add(cases, name, to, from, [=](U64 bits) -> U64 {
                if (ftz) bits = flush(kFormatF32, bits);
                const Quad value = decode(from.format(), bits);
                if (is_nan(value)) {
                    // What the ISA says of a NaN: 0 for the narrow types, else the least signed.
                    const bool narrow = from.bits != 64 && to.bits != 64;
                    return narrow ? 0 : extend(target, Wide{1} << (to.bits - 1));
                }
                const Quad rounded = round_to_integer(value, mode.round);
                if (rounded <= static_cast<Quad>(least(target)))
                    return extend(target, least(target));
                if (rounded >= static_cast<Quad>(most(target))) return extend(target, most(target));
                return extend(target, static_cast<Wide>(rounded));
            });
        }
    }
}

void integer_to_float(Cases& cases, const Number& to, const Number& from) {
    for (const Mode& mode : kModes) {
        const std::string name = std::string("cvt.") + mode.name + "." + to.name + "." + from.name;
        add(cases, name, to, from, [=](U64 bits) {
            return encode(to.format(), static_cast<Quad>(from.integer().read(bits)), mode.round);
        });
    }
}

U64 saturate(const Format& format, Quad value, Round round) {
    if (is_nan(value) || value <= 0) return 0;
    return encode(format, value >= 1 ? Quad(1) : value, round);
}

void float_to_float(Cases& cases, const Number& to, const Number& from) {
    const bool same = to.bits == from.bits;
    const bool narrows = to.bits < from.bits;
    for (const Mode& mode : kModes) {
        // A widening has one exact result and no rounding.
        if (!same && !narrows && mode.round != Round::kNearest) continue;
        for (const bool ftz : {false, true}) {
            if (ftz && to.bits != 32 && from.bits != 32) continue;
            for (const bool sat : {false, true}) {
                const std::string rounding = same      ? std::string(mode.name) + "i."
                                             : narrows ? std::string(mode.name) + "."
                                                       : std::string();
                const std::string name = "cvt." + rounding + (ftz ? "ftz." : "") +
                                         (sat ? "sat." : "") + to.name + "." + from.name;
                add(cases, name, to, from, [=](U64 bits) {
                    if (ftz && from.bits == 32) bits = flush(kFormatF32, bits);
                    Quad value = decode(from.format(), bits);
                    if (same && !is_nan(value) && !is_infinite(value)) {
                        value = round_to_integer(value, mode.round);
                    }
                    const U64 result = sat ? saturate(to.format(), value, mode.round)
                                           : encode(to.format(), value, mode.round);
                    return ftz && to.bits == 32 ? flush(kFormatF32, result) : result;
                });
            }
        }
    }
}

}  // namespace

void add_convert_cases(Cases& cases) {
    for (const Number& to : kNumbers) {
        for (const Number& from : kNumbers) {
            if (to.is_float && from.is_float) {
                float_to_float(cases, to, from);
            } else if (to.is_float) {
                integer_to_float(cases, to, from);
            } else if (from.is_float) {
                float_to_integer(cases, to, from);
            } else {
                integer_to_integer(cases, to, from);
            }
        }
    }
    Case pack{"cvt.rn.f16x2.f32",
              {Kind::kF32, Kind::kF32},
              {Kind::kF16x2},
              "cvt.rn.f16x2.f32 %d0, %a0, %a1;",
              per_thread([](const Row& a, Row& d) {
                  d[0] = encode(kFormatF16, decode(kFormatF32, a[0]), Round::kNearest) << 16 |
                         encode(kFormatF16, decode(kFormatF32, a[1]), Round::kNearest);
              })};
    pack.needs = 80;
    cases.push_back(pack);
    Case brain{"cvt.rn.bf16.f32",
               {Kind::kF32},
               {Kind::kBf16},
               "cvt.rn.bf16.f32 %d0, %a0;",
               per_thread([](const Row& a, Row& d) {
                   d[0] = encode(kFormatBf16, decode(kFormatF32, a[0]), Round::kNearest);
               })};
    brain.needs = 80;
    cases.push_back(brain);
}

}  // namespace cubar::instruction
