// SPDX-License-Identifier: Apache-2.0
// The SIMD video instructions on all four bytes or both halves of a word.
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
    return a < b ? b : a;
}

void add_operation(Cases& cases, const std::string& op, unsigned parts, bool is_signed, char mode) {
    const std::string type = is_signed ? ".s32" : ".u32";
    const std::string name = op + std::to_string(parts) + type + type + type +
                             (mode == 's'   ? ".sat"
                              : mode == 'a' ? ".add"
                                            : "");
    const unsigned bits = 32 / parts;
    const IntegerType part{"", bits, is_signed};
    const Wide most = (Wide{1} << (is_signed ? bits - 1 : bits)) - 1;
    const Wide least = is_signed ? -most - 1 : 0;
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
                             if (mode == 's') {
                                 value = value > most ? most : value < least ? least : value;
                             }
                             packed |= part.cut(value) << (bits * i);
                         }
                         d[0] = mode == 'a' ? static_cast<std::uint32_t>(sum) : packed;
                     })});
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
}

}  // namespace cubar::instruction
