// SPDX-License-Identifier: Apache-2.0
// cvt to and from the formats of tensor cores: tf32, e4m3, e5m2, and pairs of f16 and bf16 with
// .relu and .satfinite.
#include <algorithm>

#include "test/instruction/case.h"
#include "test/instruction/soft_float.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

constexpr Format kFormatTf32{10, 8};
constexpr Format kFormatE5m2{2, 5};
constexpr Format kFormatE4m3{3, 4};

struct How {
    Round round = Round::kNearest;
    bool relu = false;
    bool finite = false;
};

std::string words(const How& how) {
    return std::string(how.round == Round::kZero ? ".rz" : ".rn") + (how.relu ? ".relu" : "") +
           (how.finite ? ".satfinite" : "");
}

// The bits of `value`, where `largest` are those of the largest number and `nan` those of NaN.
U64 narrow(const Format& format, U64 largest, U64 nan, Quad value, const How& how) {
    if (is_nan(value)) return nan;
    if (how.relu && is_negative(value)) return 0;
    const U64 bits = encode(format, value, how.round);
    const U64 sign = bits & U64{1} << (format.mantissa + format.exponent);
    return how.finite ? sign | std::min(bits & ~sign, largest) : bits;
}

// E4m3 has no infinity, and numbers in the place of infinities and NaNs of other formats: there it
// is like a format with more exponents, eight of which are missing.
U64 narrow_e4m3(Quad value, const How& how) {
    const Quad magnitude = is_negative(value) ? -value : value;
    if (is_nan(value) || magnitude < 1) return narrow(kFormatE4m3, 0x7e, 0x7f, value, how);
    constexpr Format kMore{3, 5};
    const U64 bits = narrow(kMore, 0xff, 0, value, how);
    if (bits == 0) return 0;
    return (bits & 0x100) >> 1 | std::min<U64>((bits & 0xff) - (8u << 3), 0x7e);
}

Quad widen_e4m3(U64 bits) {
    if ((bits & 0x78) != 0x78) return decode(kFormatE4m3, bits);
    constexpr Format kMore{3, 5};
    if ((bits & 0x7f) == 0x7f) return decode(kMore, 0xff);
    return decode(kMore, (bits & 0x80) << 1 | ((bits & 0x7f) + (8u << 3)));
}

U64 narrow_tf32(U64 single, const How& how) {
    return narrow(kFormatTf32, 0x3fbff, 0x3ffff, decode(kFormatF32, single), how) << 13;
}

void add_tf32(Cases& cases) {
    for (const Round round : {Round::kNearest, Round::kZero}) {
        for (const bool relu : {false, true}) {
            const How how{round, relu, false};
            const std::string name = "cvt" + words(how) + ".tf32.f32";
            Case one{name,
                     {Kind::kF32},
                     {Kind::kF32},
                     ".reg .b32 %t; " + name + " %t, %a0; mov.b32 %d0, %t;",
                     per_thread([=](const Row& a, Row& d) { d[0] = narrow_tf32(a[0], how); })};
            one.needs = 90;
            cases.push_back(std::move(one));
        }
    }
    Case away{"cvt.rna.tf32.f32",
              {Kind::kF32},
              {Kind::kF32},
              ".reg .b32 %t; cvt.rna.tf32.f32 %t, %a0; mov.b32 %d0, %t;",
              per_thread([](const Row& a, Row& d) {
                  const bool special = (a[0] & 0x7f800000) == 0x7f800000;
                  // To nearest; ties away from zero.
                  d[0] = special ? a[0] : (a[0] + 0x1000) & 0xffffe000;
              })};
    away.needs = 80;
    cases.push_back(std::move(away));
}

void add_halves(Cases& cases) {
    for (const bool brain : {false, true}) {
        const Format format = brain ? kFormatBf16 : kFormatF16;
        const U64 largest = brain ? 0x7f7f : 0x7bff;
        for (unsigned bits = 0; bits < 8; ++bits) {
            const How how{(bits & 1) != 0 ? Round::kZero : Round::kNearest, (bits & 2) != 0,
                          (bits & 4) != 0};
            const std::string type = brain ? ".bf16" : ".f16";
            Case one{"cvt" + words(how) + type + "x2.f32",
                     {Kind::kF32, Kind::kF32},
                     {brain ? Kind::kBf16x2 : Kind::kF16x2, brain ? Kind::kBf16 : Kind::kF16},
                     "cvt" + words(how) + type + "x2.f32 %d0, %a0, %a1; cvt" + words(how) + type +
                         ".f32 %d1, %a0;",
                     per_thread([=](const Row& a, Row& d) {
                         const auto one_half = [&](U64 single) {
                             return narrow(format, largest, 0x7fff, decode(kFormatF32, single),
                                           how);
                         };
                         d[0] = one_half(a[0]) << 16 | one_half(a[1]);
                         d[1] = one_half(a[0]);
                     })};
            one.needs = 80;
            cases.push_back(std::move(one));
        }
    }
}

void add_bytes(Cases& cases) {
    for (const bool five : {false, true}) {
        const std::string type = five ? ".e5m2x2" : ".e4m3x2";
        for (const bool relu : {false, true}) {
            const How how{Round::kNearest, relu, true};
            const auto byte = [=](Quad value) {
                return five ? narrow(kFormatE5m2, 0x7b, 0x7f, value, how) : narrow_e4m3(value, how);
            };
            const std::string mode = std::string(".rn.satfinite") + (relu ? ".relu" : "");
            Case singles{"cvt" + mode + type + ".f32",
                         {Kind::kUnit, Kind::kF32},
                         {Kind::kB16},
                         "cvt" + mode + type + ".f32 %d0, %a0, %a1;",
                         per_thread([=](const Row& a, Row& d) {
                             d[0] = byte(decode(kFormatF32, a[0])) << 8 |
                                    byte(decode(kFormatF32, a[1]));
                         })};
            singles.needs = 90;
            cases.push_back(std::move(singles));
            Case halves{"cvt" + mode + type + ".f16x2",
                        {Kind::kF16x2},
                        {Kind::kB16},
                        "cvt" + mode + type + ".f16x2 %d0, %a0;",
                        per_thread([=](const Row& a, Row& d) {
                            d[0] = byte(decode(kFormatF16, a[0] >> 16 & 0xffff)) << 8 |
                                   byte(decode(kFormatF16, a[0] & 0xffff));
                        })};
            halves.needs = 90;
            cases.push_back(std::move(halves));
            const std::string back =
                std::string("cvt.rn") + (relu ? ".relu" : "") + ".f16x2" + type;
            Case wide{back,
                      {Kind::kB16},
                      {Kind::kF16x2},
                      back + " %d0, %a0;",
                      per_thread([=](const Row& a, Row& d) {
                          const auto half = [&](U64 bits) {
                              const Quad value =
                                  five ? decode(kFormatE5m2, bits) : widen_e4m3(bits);
                              return narrow(kFormatF16, 0x7bff, 0x7fff, value, {{}, relu, false});
                          };
                          d[0] = half(a[0] >> 8 & 0xff) << 16 | half(a[0] & 0xff);
                      })};
            wide.needs = 90;
            cases.push_back(std::move(wide));
        }
    }
}

}  // namespace

void add_narrow_cases(Cases& cases) {
    add_tf32(cases);
    add_halves(cases);
    add_bytes(cases);
}

}  // namespace cubar::instruction
