// SPDX-License-Identifier: Apache-2.0
// Conversion between any two formats: the source as an exact number, rounded once to the target.
#include "softgpu/exec/convert.h"

#include <bit>

namespace cubar::softgpu::exec {
namespace {

using ptx::Modifier;
using ptx::Rounding;
using ptx::Type;

/// sign * mantissa * 2^exponent, or a special value.
struct Number {
    enum class Kind : uint8_t { kZero, kFinite, kInfinite, kNan };
    Kind kind = Kind::kZero;
    bool negative = false;
    uint64_t mantissa = 0;
    int exponent = 0;
};

struct Format {
    unsigned precision;  // significant bits, the hidden one included
    int lowest;          // exponent of the smallest normal number
    uint64_t largest;    // bits of the largest finite number
    bool has_infinity;
    bool has_nan;
    uint64_t nan;    // bits of the canonical NaN
    unsigned width;  // bits of the format, sign included
    unsigned shift;  // zero bits below, in the register
};

const Format* format_of(Type type) {
    static constexpr Format kF16{11, -14, 0x7bff, true, true, 0x7fff, 16, 0};
    static constexpr Format kBf16{8, -126, 0x7f7f, true, true, 0x7fff, 16, 0};
    static constexpr Format kTf32{11, -126, 0x3fbff, true, true, 0x3ffff, 19, 13};
    static constexpr Format kF32{24, -126, 0x7f7fffff, true, true, 0x7fffffff, 32, 0};
    static constexpr Format kF64{53, -1022, 0x7fefffffffffffff, true, true, 0xfff8000000000000,
                                 64, 0};
    static constexpr Format kE4m3{4, -6, 0x7e, false, true, 0x7f, 8, 0};
    static constexpr Format kE5m2{3, -14, 0x7b, true, true, 0x7f, 8, 0};
    static constexpr Format kE3m2{3, -2, 0x1f, false, false, 0x1f, 6, 0};
    static constexpr Format kE2m3{4, 0, 0x1f, false, false, 0x1f, 6, 0};
    static constexpr Format kE2m1{2, 0, 0x7, false, false, 0x7, 4, 0};
    switch (type) {
        case Type::kF16:
            return &kF16;
        case Type::kBf16:
            return &kBf16;
        case Type::kTf32:
            return &kTf32;
        case Type::kF32:
            return &kF32;
        case Type::kF64:
            return &kF64;
        case Type::kE4m3:
            return &kE4m3;
        case Type::kE5m2:
            return &kE5m2;
        case Type::kE3m2:
            return &kE3m2;
        case Type::kE2m3:
            return &kE2m3;
        case Type::kE2m1:
            return &kE2m1;
        default:
            return nullptr;
    }
}

struct Packing {
    Type element;
    unsigned count;
    unsigned stride;  // bits from one element to the next
};

Packing packing_of(Type type) {
    switch (type) {
        case Type::kF16x2:
            return {Type::kF16, 2, 16};
        case Type::kBf16x2:
            return {Type::kBf16, 2, 16};
        case Type::kE4m3x2:
            return {Type::kE4m3, 2, 8};
        case Type::kE5m2x2:
            return {Type::kE5m2, 2, 8};
        case Type::kE3m2x2:
            return {Type::kE3m2, 2, 8};
        case Type::kE2m3x2:
            return {Type::kE2m3, 2, 8};
        case Type::kE2m1x2:
            return {Type::kE2m1, 2, 4};
        default:
            return {type, 1, 0};
    }
}

bool is_signed_integer(Type type) {
    return type == Type::kS8 || type == Type::kS16 || type == Type::kS32 || type == Type::kS64;
}

uint64_t low_bits(unsigned count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

Number read_integer(uint64_t bits, Type type) {
    const unsigned width = integer_width(type);
    bits &= low_bits(width);
    Number number;
    if (is_signed_integer(type) && (bits >> (width - 1) & 1) != 0) {
        number.negative = true;
        bits = (0 - bits) & low_bits(width);
    }
    number.kind = bits != 0 ? Number::Kind::kFinite : Number::Kind::kZero;
    number.mantissa = bits;
    return number;
}

Number read_float(uint64_t bits, const Format& format) {
    bits = bits >> format.shift & low_bits(format.width);
    const uint64_t magnitude = bits & low_bits(format.width - 1);
    Number number;
    number.negative = (bits >> (format.width - 1) & 1) != 0;
    if (magnitude > format.largest) {
        const bool infinite = format.has_infinity && magnitude == format.largest + 1;
        number.kind = infinite ? Number::Kind::kInfinite : Number::Kind::kNan;
        return number;
    }
    if (magnitude == 0) return number;
    const unsigned fraction = format.precision - 1;
    const uint64_t field = magnitude >> fraction;
    number.kind = Number::Kind::kFinite;
    number.mantissa = magnitude & low_bits(fraction);
    number.exponent = format.lowest - int(fraction);
    if (field != 0) {
        number.mantissa |= uint64_t{1} << fraction;
        number.exponent += int(field) - 1;
    }
    return number;
}

/// mantissa * 2^-shift, rounded to an integer.
uint64_t round_shift(uint64_t mantissa, int shift, bool negative, Rounding rounding) {
    if (shift <= 0) return mantissa << -shift;
    const uint64_t whole = shift < 64 ? mantissa >> shift : 0;
    const uint64_t rest = shift < 64 ? mantissa & low_bits(unsigned(shift)) : mantissa;
    if (rest == 0) return whole;
    int against_half = -1;
    if (shift <= 64) {
        const uint64_t half = uint64_t{1} << (shift - 1);
        against_half = rest > half ? 1 : rest == half ? 0 : -1;
    }
    bool up = false;
    switch (rounding) {
        case Rounding::kRz:
        case Rounding::kRzi:
            break;
        case Rounding::kRm:
        case Rounding::kRmi:
            up = negative;
            break;
        case Rounding::kRp:
        case Rounding::kRpi:
            up = !negative;
            break;
        case Rounding::kRna:
            up = against_half >= 0;
            break;
        default:
            up = against_half > 0 || (against_half == 0 && (whole & 1) != 0);
            break;
    }
    return whole + (up ? 1 : 0);
}

bool overflows_to_infinity(Rounding rounding, bool negative) {
    switch (rounding) {
        case Rounding::kRz:
            return false;
        case Rounding::kRm:
            return negative;
        case Rounding::kRp:
            return !negative;
        default:
            return true;
    }
}

uint64_t write_float(const Number& number, const Format& format, Rounding rounding,
                     bool saturate_finite) {
    const uint64_t sign = uint64_t{number.negative} << (format.width - 1);
    const uint64_t infinity = format.largest + 1;
    uint64_t bits = 0;
    switch (number.kind) {
        case Number::Kind::kNan:
            return (format.has_nan ? format.nan : format.largest) << format.shift;
        case Number::Kind::kInfinite:
            bits = saturate_finite || !format.has_infinity ? format.largest : infinity;
            break;
        case Number::Kind::kZero:
            break;
        case Number::Kind::kFinite: {
            const int top = 63 - __builtin_clzll(number.mantissa) + number.exponent;
            const int fraction = int(format.precision) - 1;
            int unit = (top > format.lowest ? top : format.lowest) - fraction;
            uint64_t rounded =
                round_shift(number.mantissa, unit - number.exponent, number.negative, rounding);
            if (rounded == uint64_t{1} << format.precision) {
                rounded >>= 1;
                ++unit;
            }
            const bool normal = (rounded >> fraction) != 0;
            const int field = normal ? unit + fraction - format.lowest + 1 : 0;
            const bool too_large = field > 0 && uint64_t(field) > (format.largest >> fraction);
            bits = uint64_t(field) << fraction | (rounded & low_bits(unsigned(fraction)));
            if (too_large || bits > format.largest) {
                const bool infinite = !saturate_finite && format.has_infinity &&
                                      overflows_to_infinity(rounding, number.negative);
                bits = infinite ? infinity : format.largest;
            }
            break;
        }
    }
    return (sign | bits) << format.shift;
}

uint64_t write_integer(const Number& number, Type type, Type from, Rounding rounding,
                       bool saturate) {
    const unsigned width = integer_width(type);
    const bool is_signed = is_signed_integer(type);
    const uint64_t most = is_signed ? low_bits(width - 1) : low_bits(width);
    const uint64_t least = is_signed ? uint64_t{1} << (width - 1) : 0;  // its magnitude
    const bool from_float = integer_width(from) == 0;
    switch (number.kind) {
        case Number::Kind::kNan:
            return width == 64 || from == Type::kF64 ? uint64_t{1} << (width - 1) : 0;
        case Number::Kind::kInfinite:
            return number.negative ? 0 - least : most;
        case Number::Kind::kZero:
            return 0;
        default:
            break;
    }
    if (!from_float && !saturate) return number.negative ? 0 - number.mantissa : number.mantissa;
    const int top = 63 - __builtin_clzll(number.mantissa) + number.exponent;
    const bool huge = top >= 64;
    const uint64_t magnitude =
        huge ? ~uint64_t{0}
             : round_shift(number.mantissa, -number.exponent, number.negative, rounding);
    if (number.negative) return magnitude > least ? 0 - least : 0 - magnitude;
    return magnitude > most ? most : magnitude;
}

Number round_to_integral(Number number, Rounding rounding) {
    if (number.kind != Number::Kind::kFinite || number.exponent >= 0) return number;
    number.mantissa = round_shift(number.mantissa, -number.exponent, number.negative, rounding);
    number.exponent = 0;
    if (number.mantissa == 0) number.kind = Number::Kind::kZero;
    return number;
}

bool rounds_to_integral(Rounding rounding) {
    return rounding == Rounding::kRni || rounding == Rounding::kRzi || rounding == Rounding::kRmi ||
           rounding == Rounding::kRpi;
}

uint64_t convert_one(uint64_t bits, Type from, Type to, const Conversion& how) {
    const Format* const source = format_of(from);
    const Format* const target = format_of(to);
    const bool ftz = (how.flags & Conversion::kFtz) != 0;
    const bool saturate = (how.flags & Conversion::kSat) != 0;
    Number number = source != nullptr ? read_float(bits, *source) : read_integer(bits, from);
    if (ftz && from == Type::kF32 && number.kind == Number::Kind::kFinite &&
        (bits & 0x7f800000) == 0) {
        number = {Number::Kind::kZero, number.negative, 0, 0};
    }
    if (target == nullptr) return write_integer(number, to, from, how.rounding, saturate);
    if (rounds_to_integral(how.rounding)) number = round_to_integral(number, how.rounding);
    if ((how.flags & Conversion::kRelu) != 0 && number.negative &&
        number.kind != Number::Kind::kNan) {
        number = {};
    }
    const bool finite = (how.flags & Conversion::kSatFinite) != 0;
    if (saturate && !finite) {
        const bool at_least_one = number.kind == Number::Kind::kInfinite ||
                                  (number.kind == Number::Kind::kFinite &&
                                   63 - __builtin_clzll(number.mantissa) + number.exponent >= 0);
        if (number.kind == Number::Kind::kNan || number.negative) {
            number = {};
        } else if (at_least_one) {
            number = {Number::Kind::kFinite, false, 1, 0};
        }
    }
    const uint64_t result = write_float(number, *target, how.rounding, finite);
    if (ftz && to == Type::kF32 && (result & 0x7f800000) == 0) return result & 0x80000000;
    return result;
}

uint64_t read_lane(const Warp& warp, Slot slot, unsigned bits, unsigned lane) {
    switch (bits) {
        case 16:
            return lanes<uint16_t>(warp, slot)[lane];
        case 32:
            return lanes<uint32_t>(warp, slot)[lane];
        default:
            return lanes<uint64_t>(warp, slot)[lane];
    }
}

void write_lane(const Warp& warp, Slot slot, unsigned bits, unsigned lane, uint64_t value) {
    switch (bits) {
        case 16:
            lanes<uint16_t>(warp, slot)[lane] = uint16_t(value);
            break;
        case 32:
            lanes<uint32_t>(warp, slot)[lane] = uint32_t(value);
            break;
        default:
            lanes<uint64_t>(warp, slot)[lane] = value;
            break;
    }
}

const Insn* convert_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto how = std::bit_cast<Conversion>(insn->imm);
    const Packing to = packing_of(how.to);
    const Packing from = packing_of(how.from);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        uint64_t result = 0;
        for (unsigned element = 0; element < to.count; ++element) {
            // Of two sources the first is the upper half.
            const Slot slot = how.sources == 2 && element == 0 ? insn->op[2] : insn->op[1];
            uint64_t bits = read_lane(warp, slot, how.from_bits, lane);
            if (from.count > 1) bits = bits >> (element * from.stride) & low_bits(from.stride);
            const uint64_t value = convert_one(bits, from.element, to.element, how);
            result |= (to.count > 1 ? value & low_bits(to.stride) : value) << (element * to.stride);
        }
        if (is_signed_integer(how.to)) {
            const unsigned unused = 64 - integer_width(how.to);
            result = uint64_t(int64_t(result << unused) >> unused);
        } else if (const unsigned width = integer_width(how.to); width != 0) {
            result &= low_bits(width);
        }
        write_lane(warp, insn->op[0], how.to_bits, lane, result);
    }
    return insn + 1;
}

bool is_known(Type type) {
    const Type element = packing_of(type).element;
    return integer_width(element) != 0 || format_of(element) != nullptr;
}

}  // namespace

unsigned integer_width(Type type) {
    switch (type) {
        case Type::kU8:
        case Type::kS8:
            return 8;
        case Type::kU16:
        case Type::kS16:
            return 16;
        case Type::kU32:
        case Type::kS32:
            return 32;
        case Type::kU64:
        case Type::kS64:
            return 64;
        default:
            return 0;
    }
}

Conversion conversion_of(const Key& key) {
    Conversion how{};
    how.to = key.type[0];
    how.from = key.type[1];
    how.rounding = key.rounding;
    how.to_bits = key.bits[0];
    how.from_bits = key.bits[1];
    how.sources = uint8_t(key.operands - 1);
    const auto flag = [&](bool set, uint8_t bit) { how.flags |= set ? bit : uint8_t{0}; };
    flag(key.ftz, Conversion::kFtz);
    flag(key.has(Modifier::kSat), Conversion::kSat);
    flag(key.has(Modifier::kRelu), Conversion::kRelu);
    flag(key.has(Modifier::kSatfinite), Conversion::kSatFinite);
    return how;
}

Handler find_general_convert(const Key& key) {
    const Packing to = packing_of(key.type[0]);
    const Packing from = packing_of(key.type[1]);
    if (!is_known(key.type[0]) || !is_known(key.type[1]) || key.rounding == Rounding::kRs ||
        key.operands > 3 || key.type[2] != Type::kNone || key.has(Modifier::kPack1) ||
        key.has(Modifier::kScaledN2)) {
        return nullptr;
    }
    if (to.count == 1 ? from.count != 1 : from.count == 1 && key.operands != 3) return nullptr;
    return convert_lanes;
}

}  // namespace cubar::softgpu::exec
