// SPDX-License-Identifier: Apache-2.0
// The .approx and .full functions, at least as exact as the ISA promises: most are the nearest
// float or the one beside it.
#include "softgpu/exec/handlers/float_types.h"

// From libm. Declared here, so that no inline function of a standard header is compiled for this
// instruction set.
extern "C" {
float log2f(float) noexcept;
float sinf(float) noexcept;
float cosf(float) noexcept;
float tanhf(float) noexcept;
double exp2(double) noexcept;
}

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

template <bool kFtz>
float in(float a) {
    return kFtz ? flush(a) : a;
}

template <bool kFtz>
float out(float r) {
    r = r != r ? as_float(kNan32) : r;
    return kFtz ? flush(r) : r;
}

// In one rounding where that is cheap: the functions below have bits to spare.
inline double multiply_add(double a, double b, double c) {
#ifdef __FMA__
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

// 2^a by range reduction to [-1/2, 1/2] and the series of exp in double: relative error below 2^-27
// before the one rounding to float.
[[gnu::always_inline]] inline float power_of_two(float a) {
    constexpr double kRound = 0x1.8p52;
    const double clamped = a > 160.0f ? 160.0 : a < -160.0f ? -160.0 : double(a);
    const double shifted = clamped + kRound;
    const double whole = shifted - kRound;
    const double x = (clamped - whole) * 0x1.62e42fefa39efp-1;
    double series = 1.0 / 5040;
    series = multiply_add(series, x, 1.0 / 720);
    series = multiply_add(series, x, 1.0 / 120);
    series = multiply_add(series, x, 1.0 / 24);
    series = multiply_add(series, x, 1.0 / 6);
    series = multiply_add(series, x, 0.5);
    series = multiply_add(series, x, 1.0);
    series = multiply_add(series, x, 1.0);
    const uint64_t exponent = (bits_of(shifted) & 0xfff) << 52;
    const double result = as_double(bits_of(series) + exponent);
    return a != a ? a : float(result);
}

struct Ex2 {
    float operator()(float a) const { return power_of_two(a); }
};
struct Lg2 {
    float operator()(float a) const { return log2f(a); }
};
struct Sin {
    float operator()(float a) const { return sinf(a); }
};
struct Cos {
    float operator()(float a) const { return cosf(a); }
};
struct Tanh {
    float operator()(float a) const { return tanhf(a); }
};
struct Rcp {
    float operator()(float a) const { return 1.0f / a; }
};
struct Rsqrt {
    float operator()(float a) const { return float(1.0 / __builtin_sqrt(double(a))); }
};
struct Sqrt {
    float operator()(float a) const { return __builtin_sqrtf(a); }
};

template <class F>
Handler vectorised(const Key& key) {
    if (key.ftz) return unary<float>([](float a) { return out<true>(F{}(in<true>(a))); });
    return unary<float>([](float a) { return out<false>(F{}(a)); });
}

template <class F>
Handler by_lane(const Key& key) {
    if (key.ftz) {
        return unary_slow<float>([](float a, const Insn&) { return out<true>(F{}(in<true>(a))); });
    }
    return unary_slow<float>([](float a, const Insn&) { return out<false>(F{}(a)); });
}

// rcp.approx.ftz.f64 and rsqrt.approx.f64 work on the upper half of the number and give the upper
// half of the result.
constexpr uint64_t kUpper = 0xffffffff00000000;

template <bool kFtz>
double upper_half(double a) {
    const uint64_t bits = bits_of(a) & kUpper;
    const bool subnormal = (bits & 0x7ff0000000000000) == 0;
    return as_double(kFtz && subnormal ? bits & 0x8000000000000000 : bits);
}

template <bool kFtz>
double keep_upper(double r) {
    if (r != r) return as_double(0x7fffffff00000000);
    return upper_half<kFtz>(r);
}

Handler find_double(const Key& key) {
    if (key.opcode == Opcode::kRcp) {
        return unary<double>([](double a) { return keep_upper<true>(1.0 / upper_half<true>(a)); });
    }
    if (key.opcode != Opcode::kRsqrt) return nullptr;
    if (key.ftz) {
        return unary<double>(
            [](double a) { return keep_upper<true>(1.0 / __builtin_sqrt(upper_half<true>(a))); });
    }
    return unary<double>(
        [](double a) { return keep_upper<false>(1.0 / __builtin_sqrt(upper_half<false>(a))); });
}

// Functions of the small formats, through float.
template <bool kTanh>
float small_function(float a) {
    return kTanh ? tanhf(a) : float(exp2(double(a)));
}

template <bool kTanh, bool kFtz>
uint16_t half_function(uint16_t a) {
    const float r = small_function<kTanh>(half_to_float(kFtz ? flush_half(a) : a));
    return kFtz ? flush_half(float_to_half(r)) : float_to_half(r);
}

template <bool kTanh>
uint16_t brain_function(uint16_t a) {
    const uint16_t r = float_to_brain(small_function<kTanh>(brain_to_float(a)));
    return !kTanh && (r & 0x7f80) == 0 ? uint16_t(r & 0x8000) : r;  // ex2 on bf16 implies .ftz
}

template <uint16_t (*kFunction)(uint16_t)>
Handler small(bool packed) {
    if (!packed) return unary_slow<uint16_t>([](uint16_t a, const Insn&) { return kFunction(a); });
    return unary_slow<uint32_t>([](uint32_t a, const Insn&) {
        return uint32_t{kFunction(uint16_t(a))} | uint32_t{kFunction(uint16_t(a >> 16))} << 16;
    });
}

template <bool kTanh>
Handler find_small(const Key& key) {
    const Type type = key.type[0];
    if (type == Type::kBf16 || type == Type::kBf16x2) {
        return small<brain_function<kTanh>>(type == Type::kBf16x2);
    }
    const bool packed = type == Type::kF16x2;
    return key.ftz ? small<half_function<kTanh, true>>(packed)
                   : small<half_function<kTanh, false>>(packed);
}

}  // namespace

Handler find_approximate(const Key& key) {
    const bool single = key.type[0] == Type::kF32;
    if (key.type[0] == Type::kF64) return find_double(key);
    switch (key.opcode) {
        case Opcode::kEx2:
            return single ? vectorised<Ex2>(key) : find_small<false>(key);
        case Opcode::kTanh:
            return single ? by_lane<Tanh>(key) : find_small<true>(key);
        case Opcode::kLg2:
            return single ? by_lane<Lg2>(key) : nullptr;
        case Opcode::kSin:
            return single ? by_lane<Sin>(key) : nullptr;
        case Opcode::kCos:
            return single ? by_lane<Cos>(key) : nullptr;
        case Opcode::kRcp:
            return single ? vectorised<Rcp>(key) : nullptr;
        case Opcode::kRsqrt:
            return single ? vectorised<Rsqrt>(key) : nullptr;
        case Opcode::kSqrt:
            return single ? vectorised<Sqrt>(key) : nullptr;
        case Opcode::kDiv:
            if (!single) return nullptr;
            if (key.ftz) {
                return binary<float>(
                    [](float a, float b) { return out<true>(in<true>(a) / in<true>(b)); });
            }
            return binary<float>([](float a, float b) { return out<false>(a / b); });
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
