// SPDX-License-Identifier: Apache-2.0
// Arithmetic of f32 and f64 as IEEE 754 defines it.
#include "softgpu/exec/handlers/float_types.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Rounding;

template <bool kFtz>
float operand(float a) {
    return kFtz ? flush(a) : a;
}
template <bool kFtz>
double operand(double a) {
    return a;
}

template <bool kFtz, bool kSat>
float result(float r) {
    if (kSat) return saturate_unit(kFtz ? flush(r) : r);
    r = r != r ? as_float(kNan32) : r;
    return kFtz ? flush(r) : r;
}
template <bool kFtz, bool kSat>
double result(double r) {
    return r != r ? as_double(kNan64) : r;
}

// The inner handler under another rounding mode.
template <Handler kInner, Rounding kRounding>
const Insn* rounded(Warp& warp, const Insn* insn, uint32_t mask) {
    const RoundingScope scope(kRoundingControl<kRounding>);
    return kInner(warp, insn, mask);
}

template <Handler kInner>
Handler with_rounding(Rounding rounding) {
    switch (rounding) {
        case Rounding::kNone:
        case Rounding::kRn:
            return kInner;
        case Rounding::kRz:
            return rounded<kInner, Rounding::kRz>;
        case Rounding::kRm:
            return rounded<kInner, Rounding::kRm>;
        case Rounding::kRp:
            return rounded<kInner, Rounding::kRp>;
        default:
            return nullptr;
    }
}

template <class T, class F, bool kFtz, bool kSat>
struct Checked {
    T operator()(T a) const { return result<kFtz, kSat>(F{}(operand<kFtz>(a))); }
    T operator()(T a, T b) const {
        return result<kFtz, kSat>(F{}(operand<kFtz>(a), operand<kFtz>(b)));
    }
    T operator()(T a, T b, T c) const {
        return result<kFtz, kSat>(F{}(operand<kFtz>(a), operand<kFtz>(b), operand<kFtz>(c)));
    }
};

template <unsigned kOperands, class T, class F, bool kFtz, bool kSat>
Handler find_rounded(Rounding rounding) {
    using C = Checked<T, F, kFtz, kSat>;
    if constexpr (kOperands == 1) {
        return with_rounding<unary_lanes<T, T, C>>(rounding);
    } else if constexpr (kOperands == 2) {
        return with_rounding<binary_lanes<T, T, T, C>>(rounding);
    } else {
        return with_rounding<ternary_lanes<T, T, T, T, C>>(rounding);
    }
}

// F is a template over nothing that works on float and double alike.
template <unsigned kOperands, class F>
Handler find_arithmetic(const Key& key, F) {
    if (key.type[0] == Type::kF64) {
        return find_rounded<kOperands, double, F, false, false>(key.rounding);
    }
    if (key.type[0] != Type::kF32) return nullptr;
    if (key.ftz) {
        return key.sat ? find_rounded<kOperands, float, F, true, true>(key.rounding)
                       : find_rounded<kOperands, float, F, true, false>(key.rounding);
    }
    return key.sat ? find_rounded<kOperands, float, F, false, true>(key.rounding)
                   : find_rounded<kOperands, float, F, false, false>(key.rounding);
}

struct FusedMultiplyAdd {
    float operator()(float a, float b, float c) const { return __builtin_fmaf(a, b, c); }
    double operator()(double a, double b, double c) const { return __builtin_fma(a, b, c); }
};

struct SquareRoot {
    float operator()(float a) const { return __builtin_sqrtf(a); }
    double operator()(double a) const { return __builtin_sqrt(a); }
};

// The number that is not NaN; -0 is less than +0.
template <class T, bool kMax, bool kNanWins>
T pick_extreme(T a, T b) {
    const auto x = bits_of(a);
    const auto y = bits_of(b);
    using Bits = decltype(x);
    const T equal = __builtin_bit_cast(T, Bits(kMax ? x & y : x | y));
    const T ordered = (kMax ? a > b : a < b) ? a : (kMax ? b > a : b < a) ? b : equal;
    const T nan = result<false, false>(T(a + b));
    if (kNanWins) return a != a || b != b ? nan : ordered;
    return a != a ? (b != b ? nan : b) : b != b ? a : ordered;
}

template <class T, bool kMax, bool kNanWins, bool kFtz, bool kXorSign>
struct Extreme {
    T operator()(T a, T b) const {
        a = operand<kFtz>(a);
        b = operand<kFtz>(b);
        if constexpr (!kXorSign) {
            return pick_extreme<T, kMax, kNanWins>(a, b);
        } else {
            constexpr uint32_t kSign = 0x80000000;
            const uint32_t sign = (bits_of(a) ^ bits_of(b)) & kSign;
            const T magnitude = pick_extreme<T, kMax, kNanWins>(as_float(bits_of(a) & ~kSign),
                                                                as_float(bits_of(b) & ~kSign));
            return magnitude != magnitude ? magnitude : as_float(bits_of(magnitude) | sign);
        }
    }
};

template <bool kMax>
Handler find_extreme(const Key& key) {
    if (key.operands != 3) return nullptr;
    if (key.type[0] == Type::kF64) {
        return binary<double>(Extreme<double, kMax, false, false, false>{});
    }
    if (key.type[0] != Type::kF32) return nullptr;
    const bool nan = key.has(Modifier::kNan);
    if (key.has(Modifier::kXorsign)) {
        if (key.ftz) {
            return nan ? binary<float>(Extreme<float, kMax, true, true, true>{})
                       : binary<float>(Extreme<float, kMax, false, true, true>{});
        }
        return nan ? binary<float>(Extreme<float, kMax, true, false, true>{})
                   : binary<float>(Extreme<float, kMax, false, false, true>{});
    }
    if (key.ftz) {
        return nan ? binary<float>(Extreme<float, kMax, true, true, false>{})
                   : binary<float>(Extreme<float, kMax, false, true, false>{});
    }
    return nan ? binary<float>(Extreme<float, kMax, true, false, false>{})
               : binary<float>(Extreme<float, kMax, false, false, false>{});
}

Handler find_sign(const Key& key) {
    const bool negate = key.opcode == Opcode::kNeg;
    if (key.type[0] == Type::kF64) {
        constexpr uint64_t kSign = uint64_t{1} << 63;
        return negate ? unary<uint64_t>([](uint64_t a) { return a ^ kSign; })
                      : unary<uint64_t>([](uint64_t a) { return a & ~kSign; });
    }
    if (key.type[0] != Type::kF32) return nullptr;
    constexpr uint32_t kSign = 0x80000000;
    if (key.ftz) {
        return negate ? unary<uint32_t>([](uint32_t a) { return flush(a) ^ kSign; })
                      : unary<uint32_t>([](uint32_t a) { return flush(a) & ~kSign; });
    }
    return negate ? unary<uint32_t>([](uint32_t a) { return a ^ kSign; })
                  : unary<uint32_t>([](uint32_t a) { return a & ~kSign; });
}

Handler find_copysign(const Key& key) {
    if (key.type[0] == Type::kF64) {
        constexpr uint64_t kSign = uint64_t{1} << 63;
        return binary<uint64_t>([](uint64_t a, uint64_t b) { return (a & kSign) | (b & ~kSign); });
    }
    return binary<uint32_t>(
        [](uint32_t a, uint32_t b) { return (a & 0x80000000) | (b & 0x7fffffff); });
}

}  // namespace

Handler find_float(const Key& key) {
    if (key.type[0] != Type::kF32 && key.type[0] != Type::kF64) return nullptr;
    if (key.has(Modifier::kApprox) || key.has(Modifier::kFull)) return nullptr;
    switch (key.opcode) {
        case Opcode::kAdd:
            return find_arithmetic<2>(key, [](auto a, auto b) { return a + b; });
        case Opcode::kSub:
            return find_arithmetic<2>(key, [](auto a, auto b) { return a - b; });
        case Opcode::kMul:
            return find_arithmetic<2>(key, [](auto a, auto b) { return a * b; });
        case Opcode::kDiv:
            return find_arithmetic<2>(key, [](auto a, auto b) { return a / b; });
        case Opcode::kFma:
        case Opcode::kMad:
            return find_arithmetic<3>(key, FusedMultiplyAdd{});
        case Opcode::kRcp:
            return find_arithmetic<1>(key, [](auto a) { return decltype(a)(1) / a; });
        case Opcode::kSqrt:
            return find_arithmetic<1>(key, SquareRoot{});
        case Opcode::kMin:
            return find_extreme<false>(key);
        case Opcode::kMax:
            return find_extreme<true>(key);
        case Opcode::kNeg:
        case Opcode::kAbs:
            return find_sign(key);
        case Opcode::kCopysign:
            return find_copysign(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
