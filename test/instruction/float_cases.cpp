// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cfenv>
#include <cmath>

#include "test/instruction/case.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

struct Mode {
    const char* name;
    Round round;
    int processor;  // of fesetround
};

const Mode kModes[] = {{"rn", Round::kNearest, FE_TONEAREST},
                       {"rz", Round::kZero, FE_TOWARDZERO},
                       {"rm", Round::kDown, FE_DOWNWARD},
                       {"rp", Round::kUp, FE_UPWARD}};

enum class Op { kAdd, kSub, kMul, kFma, kDiv, kRcp, kSqrt };

const char* name_of(Op op) {
    switch (op) {
        case Op::kAdd:
            return "add";
        case Op::kSub:
            return "sub";
        case Op::kMul:
            return "mul";
        case Op::kFma:
            return "fma";
        case Op::kDiv:
            return "div";
        case Op::kRcp:
            return "rcp";
        case Op::kSqrt:
            return "sqrt";
    }
    return "";
}

unsigned operands_of(Op op) {
    return op == Op::kFma ? 3 : op == Op::kRcp || op == Op::kSqrt ? 1 : 2;
}

// The sign of an exact zero that a sum cancels to.
Quad settle_zero(Quad sum, Quad a, Quad b, Round round) {
    if (sum != 0 || is_negative(a) == is_negative(b)) return sum;
    return round == Round::kDown ? Quad(-0.0) : Quad(0.0);
}

// f32: exact in 113 bits or rounded to odd there, then rounded once.
U64 compute_f32(Op op, const Row& in, Round round, bool ftz, bool sat) {
    Row bits = in;
    if (ftz) {
        for (unsigned i = 0; i < 3; ++i) bits[i] = flush(kFormatF32, bits[i] & 0xffffffff);
    }
    const Quad a = decode(kFormatF32, bits[0]);
    const Quad b = decode(kFormatF32, bits[1]);
    const Quad c = decode(kFormatF32, bits[2]);
    Quad result = 0;
    switch (op) {
        case Op::kAdd:
            result = settle_zero(add(a, b), a, b, round);
            break;
        case Op::kSub:
            result = settle_zero(subtract(a, b), a, -b, round);
            break;
        case Op::kMul:
            result = multiply(a, b);
            break;
        case Op::kFma:
            result = settle_zero(multiply_add(a, b, c), a * b, c, round);
            break;
        case Op::kDiv:
            result = divide(a, b);
            break;
        case Op::kRcp:
            result = divide(1, a);
            break;
        case Op::kSqrt: {
            // 53 bits with a sticky last one are enough for 24.
            std::fenv_t saved;
            std::feholdexcept(&saved);
            std::fesetround(FE_TOWARDZERO);
            const volatile double argument = static_cast<double>(a);
            const volatile double root = std::sqrt(argument);
            const bool inexact = std::fetestexcept(FE_INEXACT) != 0;
            std::fesetenv(&saved);
            result = inexact ? std::bit_cast<double>(std::bit_cast<U64>(double{root}) | 1) : root;
            break;
        }
    }
    if (sat) {
        if (is_nan(result) || result <= 0) return 0;
        if (result >= 1) return 0x3f800000;
    }
    const U64 encoded = encode(kFormatF32, result, round);
    return ftz ? flush(kFormatF32, encoded) : encoded;
}

// f64: the processor's, with its rounding mode set.
U64 compute_f64(Op op, const Row& in, int mode) {
    const volatile double a = std::bit_cast<double>(in[0]);
    const volatile double b = std::bit_cast<double>(in[1]);
    const volatile double c = std::bit_cast<double>(in[2]);
    volatile double result = 0;
    std::fesetround(mode);
    switch (op) {
        case Op::kAdd:
            result = a + b;
            break;
        case Op::kSub:
            result = a - b;
            break;
        case Op::kMul:
            result = a * b;
            break;
        case Op::kFma:
            result = std::fma(double{a}, double{b}, double{c});
            break;
        case Op::kDiv:
            result = a / b;
            break;
        case Op::kRcp:
            result = 1.0 / a;
            break;
        case Op::kSqrt:
            result = std::sqrt(double{a});
            break;
    }
    std::fesetround(FE_TONEAREST);
    return std::bit_cast<U64>(double{result});
}

std::string code_of(const std::string& name, unsigned operands) {
    std::string code = name + " %d0";
    for (unsigned i = 0; i < operands; ++i) code += ", %a" + std::to_string(i);
    return code + ";";
}

void add_arithmetic(Cases& cases) {
    for (const Op op : {Op::kAdd, Op::kSub, Op::kMul, Op::kFma, Op::kDiv, Op::kRcp, Op::kSqrt}) {
        const unsigned operands = operands_of(op);
        for (const Mode& mode : kModes) {
            const std::string base = std::string(name_of(op)) + "." + mode.name;
            for (const bool ftz : {false, true}) {
                for (const bool sat : {false, true}) {
                    if (sat && (op == Op::kDiv || op == Op::kRcp || op == Op::kSqrt)) continue;
                    const std::string name =
                        base + (ftz ? ".ftz" : "") + (sat ? ".sat" : "") + ".f32";
                    cases.push_back({name,
                                     std::vector<Kind>(operands, Kind::kF32),
                                     {Kind::kF32},
                                     code_of(name, operands),
                                     per_thread([=](const Row& a, Row& d) {
                                         d[0] = compute_f32(op, a, mode.round, ftz, sat);
                                     })});
                }
            }
            const std::string name = base + ".f64";
            cases.push_back({name,
                             std::vector<Kind>(operands, Kind::kF64),
                             {Kind::kF64},
                             code_of(name, operands),
                             per_thread([=](const Row& a, Row& d) {
                                 d[0] = compute_f64(op, a, mode.processor);
                             })});
        }
    }
}

// Of a number and a NaN the number; with .NaN the NaN. -0 is less than +0.
U64 choose(const Format& format, U64 x, U64 y, bool greatest, bool propagate) {
    const Quad a = decode(format, x);
    const Quad b = decode(format, y);
    if (is_nan(a) || is_nan(b)) {
        if (propagate || (is_nan(a) && is_nan(b))) return encode(format, a + b, Round::kNearest);
        return is_nan(a) ? y : x;
    }
    if (a == b) return is_negative(a) != greatest ? x : y;
    return (a < b) != greatest ? x : y;
}

void add_selection(Cases& cases) {
    for (const bool greatest : {false, true}) {
        for (const bool ftz : {false, true}) {
            for (const bool propagate : {false, true}) {
                const std::string name = std::string(greatest ? "max" : "min") +
                                         (ftz ? ".ftz" : "") + (propagate ? ".NaN" : "") + ".f32";
                cases.push_back({name,
                                 {Kind::kF32, Kind::kF32},
                                 {Kind::kF32},
                                 code_of(name, 2),
                                 per_thread([=](const Row& a, Row& d) {
                                     const U64 x = ftz ? flush(kFormatF32, a[0]) : a[0];
                                     const U64 y = ftz ? flush(kFormatF32, a[1]) : a[1];
                                     d[0] = choose(kFormatF32, x, y, greatest, propagate);
                                 })});
                if (propagate) cases.back().needs = 80;
            }
        }
        const std::string name = greatest ? "max.f64" : "min.f64";
        cases.push_back({name,
                         {Kind::kF64, Kind::kF64},
                         {Kind::kF64},
                         code_of(name, 2),
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = choose(kFormatF64, a[0], a[1], greatest, false);
                         })});
    }
    for (const bool negate : {false, true}) {
        const std::string base = negate ? "neg" : "abs";
        for (const bool ftz : {false, true}) {
            const std::string name = base + (ftz ? ".ftz.f32" : ".f32");
            cases.push_back({name,
                             {Kind::kF32},
                             {Kind::kF32},
                             code_of(name, 1),
                             per_thread([=](const Row& a, Row& d) {
                                 const U64 x = ftz ? flush(kFormatF32, a[0]) : a[0];
                                 d[0] = negate ? x ^ 0x80000000 : x & 0x7fffffff;
                             })});
        }
        cases.push_back({base + ".f64",
                         {Kind::kF64},
                         {Kind::kF64},
                         code_of(base + ".f64", 1),
                         per_thread([=](const Row& a, Row& d) {
                             const U64 sign = U64{1} << 63;
                             d[0] = negate ? a[0] ^ sign : a[0] & ~sign;
                         })});
    }
}

void add_classification(Cases& cases) {
    for (const char* const property :
         {"finite", "infinite", "number", "notanumber", "normal", "subnormal"}) {
        for (const bool wide : {false, true}) {
            const std::string name = std::string("testp.") + property + (wide ? ".f64" : ".f32");
            const Kind kind = wide ? Kind::kF64 : Kind::kF32;
            const Format format = wide ? kFormatF64 : kFormatF32;
            const std::string what = property;
            cases.push_back({name,
                             {kind},
                             {Kind::kPredicate},
                             code_of(name, 1),
                             per_thread([=](const Row& a, Row& d) {
                                 const Quad x = decode(format, a[0]);
                                 const bool finite = !is_nan(x) && !is_infinite(x);
                                 const bool subnormal = is_subnormal(format, a[0]);
                                 d[0] = what == "finite"       ? finite
                                        : what == "infinite"   ? is_infinite(x)
                                        : what == "number"     ? !is_nan(x)
                                        : what == "notanumber" ? is_nan(x)
                                        : what == "normal"     ? finite && !subnormal && x != 0
                                                               : subnormal;
                             })});
        }
    }
    cases.push_back({"copysign.f32",
                     {Kind::kF32, Kind::kF32},
                     {Kind::kF32},
                     code_of("copysign.f32", 2),
                     per_thread([](const Row& a, Row& d) {
                         d[0] = (a[0] & 0x80000000) | (a[1] & 0x7fffffff);
                     })});
    cases.push_back({"copysign.f64",
                     {Kind::kF64, Kind::kF64},
                     {Kind::kF64},
                     code_of("copysign.f64", 2),
                     per_thread([](const Row& a, Row& d) {
                         const U64 sign = U64{1} << 63;
                         d[0] = (a[0] & sign) | (a[1] & ~sign);
                     })});
}

}  // namespace

void add_float_cases(Cases& cases) {
    add_arithmetic(cases);
    add_selection(cases);
    add_classification(cases);
}

}  // namespace cubar::instruction
