// SPDX-License-Identifier: Apache-2.0
// cvt: the frequent pairs as vectors; every other one through an exact number, rounded once.
#include "softgpu/exec/convert.h"

#include "softgpu/exec/handlers/float_types.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Rounding;

// --- between integers ---

// The source's low bits, extended by the narrower type's sign to the width of the destination.
template <class Narrow, class To, class From>
Handler extend() {
    return unary<To, From>([](From a) { return To(Narrow(a)); });
}

template <class Narrow, class To>
Handler extend_from(unsigned bits) {
    switch (bits) {
        case 16:
            return extend<Narrow, To, uint16_t>();
        case 32:
            return extend<Narrow, To, uint32_t>();
        case 64:
            return extend<Narrow, To, uint64_t>();
        default:
            return nullptr;
    }
}

template <class Narrow>
Handler extend_to(const Key& key) {
    switch (key.bits[0]) {
        case 16:
            return extend_from<Narrow, uint16_t>(key.bits[1]);
        case 32:
            return extend_from<Narrow, uint32_t>(key.bits[1]);
        case 64:
            return extend_from<Narrow, uint64_t>(key.bits[1]);
        default:
            return nullptr;
    }
}

Handler find_extension(const Key& key) {
    const unsigned to = integer_width(key.type[0]);
    const unsigned from = integer_width(key.type[1]);
    if (to == 0 || from == 0 || key.sat) return nullptr;
    const Type narrow = to <= from ? key.type[0] : key.type[1];
    if (to > from && key.bits[0] > to) return nullptr;  // two extensions, perhaps different ones
    switch (narrow) {
        case Type::kU8:
            return extend_to<uint8_t>(key);
        case Type::kS8:
            return extend_to<int8_t>(key);
        case Type::kU16:
            return extend_to<uint16_t>(key);
        case Type::kS16:
            return extend_to<int16_t>(key);
        case Type::kU32:
            return extend_to<uint32_t>(key);
        case Type::kS32:
            return extend_to<int32_t>(key);
        case Type::kU64:
            return extend_to<uint64_t>(key);
        default:
            return extend_to<int64_t>(key);
    }
}

// --- the frequent ones with floats ---

template <bool kFtz>
float canonical(float r) {
    r = r != r ? as_float(kNan32) : r;
    return kFtz ? flush(r) : r;
}

template <Rounding kRounding>
double integral(double a) {
    switch (kRounding) {
        case Rounding::kRni:
            return __builtin_rint(a);
        case Rounding::kRmi:
            return __builtin_floor(a);
        case Rounding::kRpi:
            return __builtin_ceil(a);
        default:
            return __builtin_trunc(a);
    }
}

// A subnormal that .ftz would flush matters to .rmi and .rpi only.
template <Rounding kRounding, bool kFtz>
int32_t to_s32(float a) {
    const double whole = integral<kRounding>(double(kFtz ? flush(a) : a));
    const double clamped =
        whole > -0x1p31 ? (whole < 0x1.fffffffcp30 ? whole : 0x1.fffffffcp30) : -0x1p31;
    return int32_t(whole != whole ? 0.0 : clamped);
}

template <Rounding kRounding, bool kFtz>
uint32_t to_u32(float a) {
    const double whole = integral<kRounding>(double(kFtz ? flush(a) : a));
    const double clamped = whole > 0 ? (whole < 0x1.fffffffep31 ? whole : 0x1.fffffffep31) : 0.0;
    return uint32_t(int32_t(clamped - 0x1p31)) ^ 0x80000000;
}

template <Rounding kRounding>
Handler float_to_int(const Key& key) {
    if (key.type[0] == Type::kS32) {
        return key.ftz ? unary<int32_t, float>([](float a) { return to_s32<kRounding, true>(a); })
                       : unary<int32_t, float>([](float a) { return to_s32<kRounding, false>(a); });
    }
    return key.ftz ? unary<uint32_t, float>([](float a) { return to_u32<kRounding, true>(a); })
                   : unary<uint32_t, float>([](float a) { return to_u32<kRounding, false>(a); });
}

Handler find_float_to_int(const Key& key) {
    if ((key.type[0] != Type::kS32 && key.type[0] != Type::kU32) || key.bits[0] != 32) {
        return nullptr;
    }
    switch (key.rounding) {
        case Rounding::kRni:
            return float_to_int<Rounding::kRni>(key);
        case Rounding::kRzi:
            return float_to_int<Rounding::kRzi>(key);
        case Rounding::kRmi:
            return float_to_int<Rounding::kRmi>(key);
        case Rounding::kRpi:
            return float_to_int<Rounding::kRpi>(key);
        default:
            return nullptr;
    }
}

template <bool kFtz>
Handler find_to_float(const Key& key) {
    const bool nearest = key.rounding == Rounding::kRn;
    switch (key.type[1]) {
        case Type::kS32:
            if (!nearest || key.bits[1] != 32) return nullptr;
            return unary<float, int32_t>([](int32_t a) { return float(a); });
        case Type::kU32:
            if (!nearest || key.bits[1] != 32) return nullptr;
            return unary<float, uint32_t>([](uint32_t a) { return float(a); });
        case Type::kF16:
            return unary<float, uint16_t>(
                [](uint16_t a) { return canonical<false>(half_to_float(a)); });
        case Type::kBf16:
            return unary<float, uint16_t>(
                [](uint16_t a) { return canonical<kFtz>(brain_to_float(a)); });
        case Type::kF64:
            if (!nearest) return nullptr;
            return unary<float, double>([](double a) { return canonical<kFtz>(float(a)); });
        case Type::kF32:
            switch (key.rounding) {
                case Rounding::kRni:
                    return unary<float>(
                        [](float a) { return canonical<kFtz>(__builtin_rintf(a)); });
                case Rounding::kRzi:
                    return unary<float>(
                        [](float a) { return canonical<kFtz>(__builtin_truncf(a)); });
                default:
                    return nullptr;
            }
        default:
            return nullptr;
    }
}

Handler find_frequent(const Key& key) {
    if (key.sat || key.has(Modifier::kRelu) || key.has(Modifier::kSatfinite)) return nullptr;
    const bool nearest = key.rounding == Rounding::kRn;
    switch (key.type[0]) {
        case Type::kF32:
            return key.ftz ? find_to_float<true>(key) : find_to_float<false>(key);
        case Type::kF64:
            if (key.type[1] == Type::kS32 && nearest && key.bits[1] == 32) {
                return unary<double, int32_t>([](int32_t a) { return double(a); });
            }
            if (key.type[1] == Type::kF32) {
                return key.ftz ? unary<double, float>([](float a) { return double(flush(a)); })
                               : unary<double, float>([](float a) { return double(a); });
            }
            return nullptr;
        case Type::kF16:
            if (key.type[1] != Type::kF32 || !nearest || key.ftz) return nullptr;
            return unary<uint16_t, float>([](float a) { return float_to_half(a); });
        case Type::kBf16:
            if (key.type[1] != Type::kF32 || !nearest || key.ftz) return nullptr;
            return unary<uint16_t, float>([](float a) { return float_to_brain(a); });
        case Type::kF16x2:
            if (key.type[1] != Type::kF32 || !nearest || key.ftz) return nullptr;
            return binary<uint32_t, float>([](float high, float low) {
                return uint32_t{float_to_half(low)} | uint32_t{float_to_half(high)} << 16;
            });
        case Type::kBf16x2:
            if (key.type[1] != Type::kF32 || !nearest || key.ftz) return nullptr;
            return binary<uint32_t, float>([](float high, float low) {
                return uint32_t{float_to_brain(low)} | uint32_t{float_to_brain(high)} << 16;
            });
        default:
            return key.type[1] == Type::kF32 ? find_float_to_int(key) : nullptr;
    }
}

// --- two integers to narrow ones, side by side ---

template <unsigned kBits, bool kSigned>
struct Pack {
    static constexpr int32_t kMost = (1 << (kSigned ? kBits - 1 : kBits)) - 1;
    static constexpr int32_t kLeast = kSigned ? -kMost - 1 : 0;
    static uint32_t narrow(int32_t a) {
        const int32_t low = a > kLeast ? a : kLeast;
        return uint32_t(low < kMost ? low : kMost) & ((1u << kBits) - 1);
    }
    uint32_t operator()(int32_t a, int32_t b) const { return narrow(a) << kBits | narrow(b); }
    uint32_t operator()(int32_t a, int32_t b, uint32_t c) const {
        return c << (2 * kBits) | (*this)(a, b);
    }
};

template <unsigned kBits, bool kSigned>
Handler pack_above() {
    return ternary<uint32_t, int32_t, int32_t, uint32_t>(Pack<kBits, kSigned>{});
}

Handler find_pack(Type type) {
    switch (type) {
        case Type::kU16:
            return binary<uint32_t, int32_t>(Pack<16, false>{});
        case Type::kS16:
            return binary<uint32_t, int32_t>(Pack<16, true>{});
        case Type::kU8:
            return pack_above<8, false>();
        case Type::kS8:
            return pack_above<8, true>();
        case Type::kU4:
            return pack_above<4, false>();
        case Type::kS4:
            return pack_above<4, true>();
        case Type::kU2:
            return pack_above<2, false>();
        case Type::kS2:
            return pack_above<2, true>();
        default:
            return nullptr;
    }
}

}  // namespace

Handler find_convert(const Key& key) {
    if (key.opcode != Opcode::kCvt) return nullptr;
    if (key.has(Modifier::kPack1)) return find_pack(key.type[0]);
    if (const Handler handler = find_extension(key)) return handler;
    if (const Handler handler = find_frequent(key)) return handler;
    return find_general_convert(key);
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
