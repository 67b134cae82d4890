// SPDX-License-Identifier: Apache-2.0
// The bounds are those that the PTX ISA states for each approximation.
#include <bit>
#include <cmath>

#include "test/instruction/case.h"

namespace cubar::instruction {
namespace {

double read(std::uint64_t bits) {
    return double{std::bit_cast<float>(static_cast<std::uint32_t>(bits))};
}

std::uint64_t write(double value) {
    return std::bit_cast<std::uint32_t>(static_cast<float>(value));
}

template <typename Function>
void add(Cases& cases, const std::string& name, Kind kind, Tolerance tolerance, Function function,
         const std::string& before = "") {
    cases.push_back({name,
                     {kind},
                     {Kind::kF32},
                     before + name + " %d0, %a0;",
                     per_thread([=](const Row& a, Row& d) { d[0] = write(function(read(a[0]))); }),
                     tolerance});
}

}  // namespace

void add_approximate_cases(Cases& cases) {
    // An exact result rounded to f32 is itself half a unit off.
    const double unit = 0x1p-23;
    add(cases, "rcp.approx.f32", Kind::kUnit, {1.5 * unit, 0}, [](double x) { return 1 / x; });
    add(cases, "sqrt.approx.f32", Kind::kUnit, {2 * unit, 0},
        [](double x) { return std::sqrt(x); });
    add(cases, "rsqrt.approx.f32", Kind::kUnit, {2 * unit, 0},
        [](double x) { return 1 / std::sqrt(x); });
    add(cases, "ex2.approx.f32", Kind::kUnit, {3 * unit, 0}, [](double x) { return std::exp2(x); });
    add(cases, "ex2.approx.ftz.f32", Kind::kUnit, {3 * unit, 0},
        [](double x) { return std::exp2(x); });
    add(cases, "lg2.approx.f32", Kind::kUnit, {2.5 * unit, 0x1p-21},
        [](double x) { return std::log2(x); });
    const std::string within = "mul.rn.f32 %a0, %a0, 0f3F400000; ";  // 0.75: (-8, 8) to (-6, 6)
    const auto scaled = [](double x) { return double{static_cast<float>(x * 0.75)}; };
    add(
        cases, "sin.approx.f32", Kind::kUnit, {unit, 0x1p-20},
        [=](double x) { return std::sin(scaled(x)); }, within);
    add(
        cases, "cos.approx.f32", Kind::kUnit, {unit, 0x1p-20},
        [=](double x) { return std::cos(scaled(x)); }, within);
    add(cases, "tanh.approx.f32", Kind::kUnit, {0x1p-10, 0}, [](double x) { return std::tanh(x); });
    for (const char* const kind : {"approx", "full", "approx.ftz", "full.ftz"}) {
        const std::string name = std::string("div.") + kind + ".f32";
        cases.push_back(
            {name,
             {Kind::kUnit, Kind::kUnit},
             {Kind::kF32},
             name + " %d0, %a0, %a1;",
             per_thread([](const Row& a, Row& d) { d[0] = write(read(a[0]) / read(a[1])); }),
             {2.5 * unit, 0}});
    }
}

}  // namespace cubar::instruction
