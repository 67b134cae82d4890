// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/case.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

struct Options {
    bool ftz = false, sat = false, relu = false;
};

U64 compute(const Format& format, const std::string& op, const Row& in, const Options& options) {
    Row bits = in;
    for (U64& value : bits) {
        value &= 0xffff;
        if (options.ftz) value = flush(format, value);
    }
    const Quad a = decode(format, bits[0]);
    const Quad b = decode(format, bits[1]);
    const Quad c = decode(format, bits[2]);
    const Quad result = op == "add"   ? add(a, b)
                        : op == "sub" ? subtract(a, b)
                        : op == "mul" ? multiply(a, b)
                                      : multiply_add(a, b, c);
    const U64 one = ((U64{1} << (format.exponent - 1)) - 1) << format.mantissa;
    if (options.sat && (is_nan(result) || result <= 0)) return 0;
    if (options.sat && result >= 1) return one;
    if (options.relu && !is_nan(result) && result <= 0) return 0;
    const U64 encoded = encode(format, result, Round::kNearest);
    return options.ftz ? flush(format, encoded) : encoded;
}

void add_operation(Cases& cases, const std::string& op, bool brain, const Options& options,
                   int needs) {
    const Format format = brain ? kFormatBf16 : kFormatF16;
    const unsigned operands = op == "fma" ? 3 : 2;
    for (const bool pair : {false, true}) {
        const std::string name = op + ".rn" + (options.ftz ? ".ftz" : "") +
                                 (options.sat ? ".sat" : "") + (options.relu ? ".relu" : "") +
                                 (brain ? ".bf16" : ".f16") + (pair ? "x2" : "");
        const Kind kind = brain  ? (pair ? Kind::kBf16x2 : Kind::kBf16)
                          : pair ? Kind::kF16x2
                                 : Kind::kF16;
        std::string code = name + " %d0";
        for (unsigned i = 0; i < operands; ++i) code += ", %a" + std::to_string(i);
        Case one{name,
                 std::vector<Kind>(operands, kind),
                 {kind},
                 code + ";",
                 per_thread([=](const Row& a, Row& d) {
                     d[0] = compute(format, op, a, options);
                     if (!pair) return;
                     Row high = a;
                     for (U64& value : high) value >>= 16;
                     d[0] |= compute(format, op, high, options) << 16;
                 })};
        one.needs = needs;
        cases.push_back(one);
    }
}

}  // namespace

void add_half_cases(Cases& cases) {
    for (const char* const op : {"add", "sub", "mul", "fma"}) {
        for (const bool ftz : {false, true}) {
            for (const bool sat : {false, true})
                add_operation(cases, op, false, {ftz, sat, false}, 75);
        }
        add_operation(cases, op, true, {}, op[0] == 'f' ? 80 : 90);
    }
    add_operation(cases, "fma", false, {false, false, true}, 80);
    add_operation(cases, "fma", true, {false, false, true}, 80);
    for (const bool negate : {false, true}) {
        for (const bool pair : {false, true}) {
            const std::string name =
                std::string(negate ? "neg.f16" : "abs.f16") + (pair ? "x2" : "");
            const Kind kind = pair ? Kind::kF16x2 : Kind::kF16;
            cases.push_back(
                {name, {kind}, {kind}, name + " %d0, %a0;", per_thread([=](const Row& a, Row& d) {
                     d[0] = negate ? a[0] ^ 0x80008000 : a[0] & 0x7fff7fff;
                 })});
        }
    }
}

}  // namespace cubar::instruction
