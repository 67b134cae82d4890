// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

struct BitType {
    const char* name;
    unsigned bits;
    Kind kind() const { return bits == 16 ? Kind::kB16 : bits == 32 ? Kind::kB32 : Kind::kB64; }
    U64 cut(U64 value) const { return value & (~U64{0} >> (64 - bits)); }
};

const BitType kB16{"b16", 16};
const BitType kB32{"b32", 32};
const BitType kB64{"b64", 64};

template <typename Function>
void add(Cases& cases, const std::string& name, std::vector<Kind> inputs, Kind output,
         Function function) {
    std::string code = name + " %d0";
    for (std::size_t i = 0; i < inputs.size(); ++i) code += ", %a" + std::to_string(i);
    cases.push_back(
        {name, std::move(inputs), {output}, code + ";", per_thread([=](const Row& a, Row& d) {
             d[0] = static_cast<U64>(function(a));
         })});
}

void add_logic(Cases& cases) {
    for (const BitType& type : {kB16, kB32, kB64}) {
        const std::string dot = std::string(".") + type.name;
        const Kind kind = type.kind();
        add(cases, "and" + dot, {kind, kind}, kind, [](const Row& a) { return a[0] & a[1]; });
        add(cases, "or" + dot, {kind, kind}, kind, [](const Row& a) { return a[0] | a[1]; });
        add(cases, "xor" + dot, {kind, kind}, kind, [](const Row& a) { return a[0] ^ a[1]; });
        add(cases, "not" + dot, {kind}, kind, [](const Row& a) { return ~a[0]; });
        add(cases, "cnot" + dot, {kind}, kind,
            [=](const Row& a) { return type.cut(a[0]) == 0 ? 1 : 0; });
        add(cases, "shl" + dot, {kind, Kind::kCount}, kind,
            [=](const Row& a) { return U32(a[1]) >= type.bits ? 0 : a[0] << U32(a[1]); });
        add(cases, "shr" + dot, {kind, Kind::kCount}, kind,
            [=](const Row& a) { return U32(a[1]) >= type.bits ? 0 : type.cut(a[0]) >> U32(a[1]); });
    }
    for (const IntegerType& type : kIntegerTypes) {
        add(cases, std::string("shr.") + type.name, {type.kind(), Kind::kCount}, type.kind(),
            [=](const Row& a) {
                const unsigned count = U32(a[1]) >= type.bits ? type.bits : U32(a[1]);
                return type.cut(type.read(a[0]) >> count);
            });
    }
    for (const char* const name : {"and.pred", "or.pred", "xor.pred"}) {
        const char op = name[0];
        add(cases, name, {Kind::kPredicate, Kind::kPredicate}, Kind::kPredicate, [=](const Row& a) {
            return op == 'a' ? a[0] & a[1] : op == 'o' ? a[0] | a[1] : a[0] ^ a[1];
        });
    }
    add(cases, "not.pred", {Kind::kPredicate}, Kind::kPredicate,
        [](const Row& a) { return a[0] ^ 1; });
}

void add_counts(Cases& cases) {
    for (const BitType& type : {kB32, kB64}) {
        const std::string dot = std::string(".") + type.name;
        add(cases, "popc" + dot, {type.kind()}, Kind::kB32,
            [=](const Row& a) { return static_cast<U64>(std::popcount(type.cut(a[0]))); });
        add(cases, "clz" + dot, {type.kind()}, Kind::kB32, [=](const Row& a) {
            return static_cast<U64>(std::countl_zero(type.cut(a[0]))) - (64 - type.bits);
        });
        add(cases, "brev" + dot, {type.kind()}, type.kind(), [=](const Row& a) {
            U64 result = 0;
            for (unsigned i = 0; i < type.bits; ++i)
                result |= (a[0] >> i & 1) << (type.bits - 1 - i);
            return result;
        });
    }
    for (const IntegerType& type : {kU32, kS32, kU64, kS64}) {
        for (const bool shift : {false, true}) {
            add(cases, std::string(shift ? "bfind.shiftamt." : "bfind.") + type.name, {type.kind()},
                Kind::kB32, [=](const Row& a) -> U64 {
                    const Wide value = type.read(a[0]);
                    const U64 bits = type.cut(value < 0 ? ~value : value);
                    if (bits == 0) return 0xffffffff;
                    const auto position = static_cast<unsigned>(63 - std::countl_zero(bits));
                    return shift ? type.bits - 1 - position : position;
                });
        }
    }
    add(cases, "fns.b32", {Kind::kB32, Kind::kCount, Kind::kCount}, Kind::kB32,
        [](const Row& a) -> U64 {
            const U32 mask = U32(a[0]);
            const U32 base = U32(a[1]) & 31;
            const auto offset = static_cast<std::int32_t>(a[2]);
            std::int64_t found = 0;
            if (offset == 0) return (mask >> base & 1) != 0 ? base : 0xffffffff;
            const int step = offset > 0 ? 1 : -1;
            for (int at = static_cast<int>(base); at >= 0 && at < 32; at += step) {
                if ((mask >> at & 1) != 0 && ++found == std::int64_t{offset} * step) {
                    return static_cast<U64>(at);
                }
            }
            return 0xffffffff;
        });
    // The base of fns must be below 32.
    cases.back().code = "and.b32 %a1, %a1, 31; " + cases.back().code;
}

void add_fields(Cases& cases) {
    for (const IntegerType& type : {kU32, kS32, kU64, kS64}) {
        add(cases, std::string("bfe.") + type.name, {type.kind(), Kind::kCount, Kind::kCount},
            type.kind(), [=](const Row& a) {
                const unsigned position = U32(a[1]) & 0xff;
                const unsigned length = U32(a[2]) & 0xff;
                const unsigned top = type.bits - 1;
                const unsigned last = position + length - 1 < top ? position + length - 1 : top;
                const bool sign = type.is_signed && length != 0 && (a[0] >> last & 1) != 0;
                U64 result = 0;
                for (unsigned i = 0; i < type.bits; ++i) {
                    const bool inside = i < length && position + i <= top;
                    const bool bit = inside ? (a[0] >> (position + i) & 1) != 0 : sign;
                    result |= U64{bit} << i;
                }
                return result;
            });
    }
    for (const BitType& type : {kB32, kB64}) {
        add(cases, std::string("bfi.") + type.name,
            {type.kind(), type.kind(), Kind::kCount, Kind::kCount}, type.kind(), [=](const Row& a) {
                const unsigned position = U32(a[2]) & 0xff;
                const unsigned length = U32(a[3]) & 0xff;
                U64 result = a[1];
                for (unsigned i = 0; i < length && position + i < type.bits; ++i) {
                    const U64 bit = U64{1} << (position + i);
                    result = (a[0] >> i & 1) != 0 ? result | bit : result & ~bit;
                }
                return result;
            });
    }
    for (const bool wrap : {false, true}) {
        const std::string mode = wrap ? "wrap" : "clamp";
        add(cases, "bmsk." + mode + ".b32", {Kind::kCount, Kind::kCount}, Kind::kB32,
            [=](const Row& a) {
                const U64 position = wrap ? a[0] & 31 : U32(a[0]);
                const U64 length = wrap ? a[1] & 31 : U32(a[1]);
                U64 result = 0;
                for (U64 i = 0; i < 32; ++i) {
                    if (i >= position && i - position < length) result |= U64{1} << i;
                }
                return result;
            });
        for (const IntegerType& type : {kU32, kS32}) {
            add(cases, "szext." + mode + "." + type.name, {Kind::kB32, Kind::kCount}, Kind::kB32,
                [=](const Row& a) -> U64 {
                    const unsigned width = wrap ? U32(a[1]) & 31 : U32(a[1]);
                    if (width == 0) return 0;
                    if (width >= 32) return a[0];
                    const IntegerType narrow{"", width, type.is_signed};
                    return type.cut(narrow.read(a[0]));
                });
        }
        for (const bool left : {false, true}) {
            add(cases, std::string("shf.") + (left ? "l." : "r.") + mode + ".b32",
                {Kind::kB32, Kind::kB32, Kind::kCount}, Kind::kB32, [=](const Row& a) {
                    const U64 both = (a[1] << 32) | U32(a[0]);
                    const unsigned count = wrap ? U32(a[2]) & 31 : U32(a[2]) > 32 ? 32 : U32(a[2]);
                    return left ? (both << count) >> 32 : both >> count;
                });
        }
    }
    for (unsigned table = 1; table < 256; table += 23) {
        add(cases, "lop3.b32", {Kind::kB32, Kind::kB32, Kind::kB32}, Kind::kB32, [=](const Row& a) {
            U64 result = 0;
            for (unsigned i = 0; i < 32; ++i) {
                const unsigned row = static_cast<unsigned>((a[0] >> i & 1) << 2 |
                                                           (a[1] >> i & 1) << 1 | (a[2] >> i & 1));
                result |= U64{table >> row & 1} << i;
            }
            return result;
        });
        Case& one = cases.back();
        one.name += " " + std::to_string(table);
        one.code.insert(one.code.size() - 1, ", " + std::to_string(table));
    }
}

U64 permute(const Row& a, const unsigned (&select)[4], U32 signs) {
    const U64 bytes = (a[1] << 32) | U32(a[0]);
    U64 result = 0;
    for (unsigned i = 0; i < 4; ++i) {
        U64 byte = bytes >> (8 * select[i]) & 0xff;
        if ((signs >> i & 1) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
        result |= byte << (8 * i);
    }
    return result;
}

void add_permutes(Cases& cases) {
    const std::vector<Kind> kinds{Kind::kB32, Kind::kB32, Kind::kB32};
    add(cases, "prmt.b32", kinds, Kind::kB32, [](const Row& a) {
        const U32 c = U32(a[2]);
        const unsigned select[4] = {c & 7, c >> 4 & 7, c >> 8 & 7, c >> 12 & 7};
        return permute(a, select,
                       (c >> 3 & 1) | (c >> 7 & 1) << 1 | (c >> 11 & 1) << 2 | (c >> 15 & 1) << 3);
    });
    struct Mode {
        const char* name;
        unsigned select[4][4];  // by the low two bits of c, the byte for d.b0 first
    };
    static const Mode kModes[] = {
        {"f4e", {{0, 1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4, 5}, {3, 4, 5, 6}}},
        {"b4e", {{0, 7, 6, 5}, {1, 0, 7, 6}, {2, 1, 0, 7}, {3, 2, 1, 0}}},
        {"rc8", {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}}},
        {"ecl", {{0, 1, 2, 3}, {1, 1, 2, 3}, {2, 2, 2, 3}, {3, 3, 3, 3}}},
        {"ecr", {{0, 0, 0, 0}, {0, 1, 1, 1}, {0, 1, 2, 2}, {0, 1, 2, 3}}},
        {"rc16", {{0, 1, 0, 1}, {2, 3, 2, 3}, {0, 1, 0, 1}, {2, 3, 2, 3}}},
    };
    for (const Mode& mode : kModes) {
        add(cases, std::string("prmt.b32.") + mode.name, kinds, Kind::kB32,
            [&mode](const Row& a) { return permute(a, mode.select[a[2] & 3], 0); });
    }
}

}  // namespace

void add_bit_cases(Cases& cases) {
    add_logic(cases);
    add_counts(cases);
    add_fields(cases);
    add_permutes(cases);
}

void add_carry_cases(Cases& cases) {
    // 128-bit sums and differences over two words, the carry out in a third.
    for (const char* const suffix : {"u32", "u64"}) {
        const bool is_wide = suffix[1] == '6';
        const Kind kind = is_wide ? Kind::kB64 : Kind::kB32;
        const unsigned bits = is_wide ? 64 : 32;
        const auto mask = ~U64{0} >> (64 - bits);
        const std::vector<Kind> four{kind, kind, kind, kind};
        const std::string dot = std::string(".") + suffix;
        cases.push_back({"add.cc, addc.cc, addc" + dot,
                         four,
                         {kind, kind, kind},
                         "add.cc" + dot + " %d0, %a0, %a2; addc.cc" + dot + " %d1, %a1, %a3; addc" +
                             dot + " %d2, 0, 0;",
                         per_thread([=](const Row& a, Row& d) {
                             const Wide low = Wide{a[0] & mask} + (a[2] & mask);
                             const Wide high = Wide{a[1] & mask} + (a[3] & mask) + (low >> bits);
                             d[0] = static_cast<U64>(low);
                             d[1] = static_cast<U64>(high);
                             d[2] = static_cast<U64>(high >> bits);
                         })});
        cases.push_back({"sub.cc, subc.cc, subc" + dot,
                         four,
                         {kind, kind, kind},
                         "sub.cc" + dot + " %d0, %a0, %a2; subc.cc" + dot + " %d1, %a1, %a3; subc" +
                             dot + " %d2, 0, 0;",
                         per_thread([=](const Row& a, Row& d) {
                             const Wide low = Wide{a[0] & mask} - (a[2] & mask);
                             const Wide high =
                                 Wide{a[1] & mask} - (a[3] & mask) - (low < 0 ? 1 : 0);
                             d[0] = static_cast<U64>(low);
                             d[1] = static_cast<U64>(high);
                             d[2] = high < 0 ? ~U64{0} : 0;
                         })});
        cases.push_back({"mad.lo.cc, madc.hi.cc, addc" + dot,
                         {kind, kind, kind, kind},
                         {kind, kind, kind},
                         "mad.lo.cc" + dot + " %d0, %a0, %a1, %a2; madc.hi.cc" + dot +
                             " %d1, %a0, %a1, %a3; addc" + dot + " %d2, 0, 0;",
                         per_thread([=](const Row& a, Row& d) {
                             __extension__ typedef unsigned __int128 Unsigned;
                             const Unsigned product = Unsigned{a[0] & mask} * (a[1] & mask);
                             const Unsigned low = (product & mask) + (a[2] & mask);
                             const Unsigned high =
                                 (product >> bits) + (a[3] & mask) + (low >> bits);
                             d[0] = static_cast<U64>(low);
                             d[1] = static_cast<U64>(high);
                             d[2] = static_cast<U64>(high >> bits);
                         })});
    }
}

}  // namespace cubar::instruction
