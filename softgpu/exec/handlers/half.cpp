// SPDX-License-Identifier: Apache-2.0
// Arithmetic of f16 and bf16, single and packed. Sums, products and quotients are computed as
// floats, whose 24 bits make the second rounding harmless; fma rounds to odd in between.
#include "softgpu/exec/handlers/float_types.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

struct F16 {
    static float read(uint16_t bits) { return half_to_float(bits); }
    static uint16_t write(float value) { return float_to_half(value); }
    static uint16_t flushed(uint16_t bits) { return flush_half(bits); }
};

struct Bf16 {
    static float read(uint16_t bits) { return brain_to_float(bits); }
    static uint16_t write(float value) { return float_to_brain(value); }
    static uint16_t flushed(uint16_t bits) {
        return (bits & 0x7f80) == 0 ? uint16_t(bits & 0x8000) : bits;
    }
};

struct Add {
    float operator()(float a, float b) const { return a + b; }
};
struct Sub {
    float operator()(float a, float b) const { return a - b; }
};
struct Mul {
    float operator()(float a, float b) const { return a * b; }
};
struct Fma {
    float operator()(float a, float b, float c) const { return fma_odd(a, b, c); }
};

enum class After { kNothing, kSat, kRelu };

template <class Format, bool kFtz, After kAfter, class F>
struct Compute {
    static float in(uint16_t a) { return Format::read(kFtz ? Format::flushed(a) : a); }
    static uint16_t out(float r) {
        if (kAfter == After::kSat) r = saturate_unit(r);
        if (kAfter == After::kRelu) r = r < 0 ? 0.0f : r;
        uint16_t bits = Format::write(r);
        if (kAfter == After::kRelu) bits = bits == 0x8000 ? 0 : bits;
        return kFtz ? Format::flushed(bits) : bits;
    }
    uint16_t operator()(uint16_t a, uint16_t b) const { return out(F{}(in(a), in(b))); }
    uint16_t operator()(uint16_t a, uint16_t b, uint16_t c) const {
        return out(F{}(in(a), in(b), in(c)));
    }
};

// A function of 16-bit values on both halves.
template <class F>
struct Packed {
    uint32_t operator()(uint32_t a) const {
        return uint32_t{F{}(uint16_t(a))} | uint32_t{F{}(uint16_t(a >> 16))} << 16;
    }
    uint32_t operator()(uint32_t a, uint32_t b) const {
        const uint32_t low = F{}(uint16_t(a), uint16_t(b));
        const uint32_t high = F{}(uint16_t(a >> 16), uint16_t(b >> 16));
        return low | high << 16;
    }
    uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
        const uint32_t low = F{}(uint16_t(a), uint16_t(b), uint16_t(c));
        const uint32_t high = F{}(uint16_t(a >> 16), uint16_t(b >> 16), uint16_t(c >> 16));
        return low | high << 16;
    }
};

template <class F>
Handler two(bool packed) {
    return packed ? binary<uint32_t>(Packed<F>{}) : binary<uint16_t>(F{});
}

template <class F>
Handler three(bool packed) {
    return packed ? ternary<uint32_t>(Packed<F>{}) : ternary<uint16_t>(F{});
}

template <class Format, class F>
Handler find_binary(const Key& key, bool packed) {
    if (key.ftz) {
        return key.sat ? two<Compute<Format, true, After::kSat, F>>(packed)
                       : two<Compute<Format, true, After::kNothing, F>>(packed);
    }
    return key.sat ? two<Compute<Format, false, After::kSat, F>>(packed)
                   : two<Compute<Format, false, After::kNothing, F>>(packed);
}

template <class Format>
Handler find_fma(const Key& key, bool packed) {
    if (key.has(Modifier::kOob)) return nullptr;
    if (key.has(Modifier::kRelu)) {
        return key.ftz ? three<Compute<Format, true, After::kRelu, Fma>>(packed)
                       : three<Compute<Format, false, After::kRelu, Fma>>(packed);
    }
    if (key.ftz) {
        return key.sat ? three<Compute<Format, true, After::kSat, Fma>>(packed)
                       : three<Compute<Format, true, After::kNothing, Fma>>(packed);
    }
    return key.sat ? three<Compute<Format, false, After::kSat, Fma>>(packed)
                   : three<Compute<Format, false, After::kNothing, Fma>>(packed);
}

template <class Format, bool kMax, bool kNan, bool kXorSign, bool kFtz>
struct Extreme {
    uint16_t operator()(uint16_t a, uint16_t b) const {
        if (kFtz) {
            a = Format::flushed(a);
            b = Format::flushed(b);
        }
        const auto sign = uint16_t((a ^ b) & 0x8000);
        if (kXorSign) {
            a &= 0x7fff;
            b &= 0x7fff;
        }
        const float x = Format::read(a);
        const float y = Format::read(b);
        const bool a_first = x < y || (x == y && (a & 0x8000) != 0);
        const uint16_t ordered = a_first != kMax ? a : b;
        const uint16_t other = x != x ? b : a;
        const bool any_nan = x != x || y != y;
        const bool both_nan = x != x && y != y;
        const uint16_t number = any_nan ? other : ordered;
        if (both_nan || (kNan && any_nan)) return kNan16;
        return kXorSign ? uint16_t(number | sign) : number;
    }
};

template <class Format, bool kMax, bool kFtz>
Handler find_extreme_ftz(const Key& key, bool packed) {
    const bool nan = key.has(Modifier::kNan);
    if (key.has(Modifier::kXorsign)) {
        return nan ? two<Extreme<Format, kMax, true, true, kFtz>>(packed)
                   : two<Extreme<Format, kMax, false, true, kFtz>>(packed);
    }
    return nan ? two<Extreme<Format, kMax, true, false, kFtz>>(packed)
               : two<Extreme<Format, kMax, false, false, kFtz>>(packed);
}

template <class Format, bool kMax>
Handler find_extreme(const Key& key, bool packed) {
    return key.ftz ? find_extreme_ftz<Format, kMax, true>(key, packed)
                   : find_extreme_ftz<Format, kMax, false>(key, packed);
}

template <class Format, bool kNegate, bool kFtz>
struct Sign {
    uint16_t operator()(uint16_t a) const {
        if (kFtz) a = Format::flushed(a);
        return uint16_t(kNegate ? a ^ 0x8000 : a & 0x7fff);
    }
};

template <class F>
Handler one(bool packed) {
    return packed ? unary<uint32_t>(Packed<F>{}) : unary<uint16_t>(F{});
}

template <class Format, bool kNegate>
Handler find_sign(const Key& key, bool packed) {
    return key.ftz ? one<Sign<Format, kNegate, true>>(packed)
                   : one<Sign<Format, kNegate, false>>(packed);
}

template <class Format>
Handler find_in(const Key& key, bool packed) {
    switch (key.opcode) {
        case Opcode::kAdd:
            return find_binary<Format, Add>(key, packed);
        case Opcode::kSub:
            return find_binary<Format, Sub>(key, packed);
        case Opcode::kMul:
            return find_binary<Format, Mul>(key, packed);
        case Opcode::kFma:
            return find_fma<Format>(key, packed);
        case Opcode::kMin:
            return find_extreme<Format, false>(key, packed);
        case Opcode::kMax:
            return find_extreme<Format, true>(key, packed);
        case Opcode::kNeg:
            return find_sign<Format, true>(key, packed);
        case Opcode::kAbs:
            return find_sign<Format, false>(key, packed);
        default:
            return nullptr;
    }
}

}  // namespace

Handler find_half(const Key& key) {
    if (key.type[1] != Type::kNone || key.operands > 4) return nullptr;
    if ((key.opcode == Opcode::kMin || key.opcode == Opcode::kMax) && key.operands != 3) {
        return nullptr;
    }
    switch (key.type[0]) {
        case Type::kF16:
            return find_in<F16>(key, false);
        case Type::kF16x2:
            return find_in<F16>(key, true);
        case Type::kBf16:
            return find_in<Bf16>(key, false);
        case Type::kBf16x2:
            return find_in<Bf16>(key, true);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
