// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic.
#include "softgpu/exec/handlers/vector.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

template <class T>
constexpr T kLowest = kIsSigned<T> ? T(Unsigned<T>(1) << (sizeof(T) * 8 - 1)) : T(0);
template <class T>
constexpr T kHighest = T(~kLowest<T>);

template <class T>
T high_half(Wider<T> product) {
    return T(product >> (sizeof(T) * 8));
}

template <class T>
T saturate(Wider<T> value) {
    return value < kLowest<T> ? kLowest<T> : value > kHighest<T> ? kHighest<T> : T(value);
}

Handler find_add_sub(const Key& key) {
    const bool subtract = key.opcode == Opcode::kSub;
    if (key.sat) {
        if (key.type[0] != Type::kS32) return nullptr;
        if (subtract) {
            return binary<int32_t>(
                [](int32_t a, int32_t b) { return saturate<int32_t>(int64_t{a} - b); });
        }
        return binary<int32_t>(
            [](int32_t a, int32_t b) { return saturate<int32_t>(int64_t{a} + b); });
    }
    if (key.type[0] == Type::kU16x2 || key.type[0] == Type::kS16x2) {
        if (subtract) return nullptr;
        return binary<uint32_t>([](uint32_t a, uint32_t b) {
            return ((a + (b & 0xffff0000)) & 0xffff0000) | ((a + b) & 0xffff);
        });
    }
    return with_bits(key.type[0], [&](auto zero) {
        using T = decltype(zero);
        return subtract ? binary<T>([](T a, T b) { return T(a - b); })
                        : binary<T>([](T a, T b) { return T(a + b); });
    });
}

Handler find_mul(const Key& key) {
    return with_integer(key.type[0], [&](auto zero) -> Handler {
        using T = decltype(zero);
        if (key.has(Modifier::kHi)) {
            return binary<T>([](T a, T b) { return high_half<T>(Wider<T>(a) * Wider<T>(b)); });
        }
        if (key.has(Modifier::kWide)) {
            if constexpr (sizeof(T) == 8) {
                return nullptr;
            } else {
                return binary<Wider<T>, T>([](T a, T b) { return Wider<T>(a) * Wider<T>(b); });
            }
        }
        return binary<Unsigned<T>>(
            [](Unsigned<T> a, Unsigned<T> b) { return Unsigned<T>(Wider<Unsigned<T>>(a) * b); });
    });
}

Handler find_mad(const Key& key) {
    if (key.sat) {
        if (key.type[0] != Type::kS32 || !key.has(Modifier::kHi)) return nullptr;
        return ternary<int32_t>([](int32_t a, int32_t b, int32_t c) {
            return saturate<int32_t>(int64_t{high_half<int32_t>(int64_t{a} * b)} + c);
        });
    }
    return with_integer(key.type[0], [&](auto zero) -> Handler {
        using T = decltype(zero);
        using U = Unsigned<T>;
        if (key.has(Modifier::kHi)) {
            return ternary<T>(
                [](T a, T b, T c) { return T(U(high_half<T>(Wider<T>(a) * Wider<T>(b))) + U(c)); });
        }
        if (key.has(Modifier::kWide)) {
            if constexpr (sizeof(T) == 8) {
                return nullptr;
            } else {
                using W = Wider<T>;
                return ternary<W, T>([](T a, T b, W c) { return W(W(a) * W(b) + c); });
            }
        }
        return ternary<U>([](U a, U b, U c) { return U(Wider<U>(a) * b + c); });
    });
}

// 24-bit operands: the low 24 bits of each, extended by the type's sign.
template <class T>
T low24(T a) {
    return T(T(Unsigned<T>(a) << 8) >> 8);
}

template <class T>
T mul24_lo(T a, T b) {
    return T(int64_t{low24(a)} * int64_t{low24(b)});
}

template <class T>
T mul24_hi(T a, T b) {
    return T(int64_t{low24(a)} * int64_t{low24(b)} >> 16);
}

template <class T>
Handler mul24(const Key& key) {
    const bool high = key.has(Modifier::kHi);
    if (key.opcode == Opcode::kMul24) {
        return high ? binary<T>([](T a, T b) { return mul24_hi(a, b); })
                    : binary<T>([](T a, T b) { return mul24_lo(a, b); });
    }
    if (key.sat) {
        if (!kIsSigned<T> || !high) return nullptr;
        return ternary<int32_t>([](int32_t a, int32_t b, int32_t c) {
            return saturate<int32_t>(int64_t{mul24_hi(a, b)} + c);
        });
    }
    return high ? ternary<T>([](T a, T b, T c) { return T(mul24_hi(a, b) + c); })
                : ternary<T>([](T a, T b, T c) { return T(mul24_lo(a, b) + c); });
}

// What the hardware gives for a division by zero: all ones, and the dividend as the remainder.
template <class T>
T divide(T a, T b) {
    if (b == 0) return T(-1);
    if (kIsSigned<T> && b == T(-1)) return T(-Unsigned<T>(a));
    return T(a / b);
}

template <class T>
T remainder_of(T a, T b) {
    if (b == 0) return a;
    if (kIsSigned<T> && b == T(-1)) return 0;
    return T(a % b);
}

template <class T, bool kRemainder>
const Insn* divide_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const T* b = lanes<T>(warp, insn->op[2]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        d[lane] = kRemainder ? remainder_of(a[lane], b[lane]) : divide(a[lane], b[lane]);
    }
    return insn + 1;
}

template <class T>
T smaller(T a, T b) {
    return a < b ? a : b;
}

template <class T>
T larger(T a, T b) {
    return a > b ? a : b;
}

int16_t smaller_relu(int16_t a, int16_t b) {
    return larger(smaller(a, b), int16_t{0});
}

int16_t larger_relu(int16_t a, int16_t b) {
    return larger(larger(a, b), int16_t{0});
}

template <class T>
uint32_t each_half(uint32_t a, uint32_t b, T (*f)(T, T)) {
    const auto low = uint16_t(f(T(a), T(b)));
    const auto high = uint16_t(f(T(a >> 16), T(b >> 16)));
    return uint32_t{low} | uint32_t{high} << 16;
}

Handler find_min_max(const Key& key) {
    const bool min = key.opcode == Opcode::kMin;
    const bool relu = key.has(Modifier::kRelu);
    if (key.type[0] == Type::kU16x2) {
        return min ? binary<uint32_t>([](uint32_t a, uint32_t b) {
            return each_half<uint16_t>(a, b, smaller<uint16_t>);
        })
                   : binary<uint32_t>([](uint32_t a, uint32_t b) {
                         return each_half<uint16_t>(a, b, larger<uint16_t>);
                     });
    }
    if (key.type[0] == Type::kS16x2) {
        if (min && relu) {
            return binary<uint32_t>(
                [](uint32_t a, uint32_t b) { return each_half<int16_t>(a, b, smaller_relu); });
        }
        if (relu) {
            return binary<uint32_t>(
                [](uint32_t a, uint32_t b) { return each_half<int16_t>(a, b, larger_relu); });
        }
        return min ? binary<uint32_t>([](uint32_t a, uint32_t b) {
            return each_half<int16_t>(a, b, smaller<int16_t>);
        })
                   : binary<uint32_t>([](uint32_t a, uint32_t b) {
                         return each_half<int16_t>(a, b, larger<int16_t>);
                     });
    }
    if (relu) {
        if (key.type[0] != Type::kS32) return nullptr;
        return min ? binary<int32_t>([](int32_t a, int32_t b) { return larger(smaller(a, b), 0); })
                   : binary<int32_t>([](int32_t a, int32_t b) { return larger(larger(a, b), 0); });
    }
    return with_integer(key.type[0], [&](auto zero) {
        using T = decltype(zero);
        return min ? binary<T>([](T a, T b) { return smaller(a, b); })
                   : binary<T>([](T a, T b) { return larger(a, b); });
    });
}

// op[5] is the carry flag of each lane; kSubtract's flag is the borrow.
template <class T, bool kSubtract, bool kIn>
const Insn* add_with_carry(Warp& warp, const Insn* insn, uint32_t mask) {
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const T* b = lanes<T>(warp, insn->op[2]);
    uint32_t* flags = lanes<uint32_t>(warp, insn->op[5]);
    uint32_t out = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        const unsigned __int128 in = kIn && has_lane(*flags, lane) ? 1 : 0;
        using Wide = unsigned __int128;
        const Wide sum = kSubtract ? Wide{a[lane]} - b[lane] - in : Wide{a[lane]} + b[lane] + in;
        d[lane] = T(sum);
        out |= uint32_t(sum >> (sizeof(T) * 8) & 1) << lane;
    }
    if (insn->aux != 0) store_mask(flags, out, mask);
    return insn + 1;
}

template <class T, bool kHigh, bool kIn>
const Insn* mad_with_carry(Warp& warp, const Insn* insn, uint32_t mask) {
    using U = Unsigned<T>;
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const T* b = lanes<T>(warp, insn->op[2]);
    const T* c = lanes<T>(warp, insn->op[3]);
    uint32_t* flags = lanes<uint32_t>(warp, insn->op[5]);
    uint32_t out = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        const Wider<T> product = Wider<T>(a[lane]) * Wider<T>(b[lane]);
        const U half = kHigh ? U(high_half<T>(product)) : U(product);
        const unsigned __int128 in = kIn && has_lane(*flags, lane) ? 1 : 0;
        const unsigned __int128 sum = in + half + U(c[lane]);
        d[lane] = T(sum);
        out |= uint32_t(sum >> (sizeof(T) * 8) & 1) << lane;
    }
    if (insn->aux != 0) store_mask(flags, out, mask);
    return insn + 1;
}

Handler find_carry(const Key& key) {
    switch (key.opcode) {
        case Opcode::kAdd:
        case Opcode::kAddc:
        case Opcode::kSub:
        case Opcode::kSubc:
            return with_bits(key.type[0], [&](auto zero) -> Handler {
                using T = decltype(zero);
                switch (key.opcode) {
                    case Opcode::kAdd:
                        return add_with_carry<T, false, false>;
                    case Opcode::kAddc:
                        return add_with_carry<T, false, true>;
                    case Opcode::kSub:
                        return add_with_carry<T, true, false>;
                    default:
                        return add_with_carry<T, true, true>;
                }
            });
        default:
            return with_integer(key.type[0], [&](auto zero) -> Handler {
                using T = decltype(zero);
                const bool high = key.has(Modifier::kHi);
                if (key.opcode == Opcode::kMad) {
                    return high ? mad_with_carry<T, true, false> : mad_with_carry<T, false, false>;
                }
                return high ? mad_with_carry<T, true, true> : mad_with_carry<T, false, true>;
            });
    }
}

template <class T>
struct Wider16Of;
template <>
struct Wider16Of<uint8_t> {
    using Type = uint16_t;
};
template <>
struct Wider16Of<int8_t> {
    using Type = int16_t;
};
template <class T>
using Wider16 = typename Wider16Of<T>::Type;

// The even bytes of the four, and the odd ones, as pairs of 16 bits.
template <class Byte>
Vector even_bytes(Vector a) {
    return kIsSigned<Byte> ? right16_signed<8>(left16<8>(a)) : right16<8>(left16<8>(a));
}
template <class Byte>
Vector odd_bytes(Vector a) {
    return kIsSigned<Byte> ? right16_signed<8>(a) : right16<8>(a);
}

template <class A, class B>
struct Dot4 {
    Vector operator()(Vector a, Vector b, Vector c) const {
        const Vector even = multiply_add_pairs16(even_bytes<A>(a), even_bytes<B>(b));
        const Vector odd = multiply_add_pairs16(odd_bytes<A>(a), odd_bytes<B>(b));
        return add32(c, add32(even, odd));
    }
};

template <class A, class B, bool kHigh>
int32_t dot2(uint32_t a, uint32_t b, int32_t c) {
    const unsigned first = kHigh ? 16 : 0;
    const auto low = uint32_t(int32_t{A(a)} * int32_t{B(b >> first)});
    const auto high = uint32_t(int32_t{A(a >> 16)} * int32_t{B(b >> (first + 8))});
    return int32_t(uint32_t(c) + low + high);
}

Handler find_dot(const Key& key) {
    const bool a_signed = key.type[0] == Type::kS32;
    const bool b_signed = key.type[1] == Type::kS32;
    const auto pick = [&](auto a, auto b) -> Handler {
        using A = decltype(a);
        using B = decltype(b);
        if (key.opcode == Opcode::kDp4a) {
            return ternary_vectors<Dot4<A, B>>;
        }
        using A16 = Wider16<A>;
        if (key.has(Modifier::kHi)) {
            return ternary<int32_t, uint32_t>(
                [](uint32_t x, uint32_t y, int32_t z) { return dot2<A16, B, true>(x, y, z); });
        }
        return ternary<int32_t, uint32_t>(
            [](uint32_t x, uint32_t y, int32_t z) { return dot2<A16, B, false>(x, y, z); });
    };
    if (a_signed) return b_signed ? pick(int8_t{}, int8_t{}) : pick(int8_t{}, uint8_t{});
    return b_signed ? pick(uint8_t{}, int8_t{}) : pick(uint8_t{}, uint8_t{});
}

}  // namespace

Handler find_integer(const Key& key) {
    const bool is_float = key.type[0] == Type::kF16 || key.type[0] == Type::kF16x2 ||
                          key.type[0] == Type::kBf16 || key.type[0] == Type::kBf16x2 ||
                          key.type[0] == Type::kF32 || key.type[0] == Type::kF64 ||
                          key.type[0] == Type::kF32x2;
    if (is_float) return nullptr;
    switch (key.opcode) {
        case Opcode::kAdd:
        case Opcode::kSub:
            return key.has(Modifier::kCc) ? find_carry(key) : find_add_sub(key);
        case Opcode::kAddc:
        case Opcode::kSubc:
        case Opcode::kMadc:
            return find_carry(key);
        case Opcode::kMul:
            return find_mul(key);
        case Opcode::kMad:
            return key.has(Modifier::kCc) ? find_carry(key) : find_mad(key);
        case Opcode::kMul24:
        case Opcode::kMad24:
            return key.type[0] == Type::kS32 ? mul24<int32_t>(key) : mul24<uint32_t>(key);
        case Opcode::kSad:
            return with_integer(key.type[0], [](auto zero) {
                using T = decltype(zero);
                using U = Unsigned<T>;
                return ternary<T>([](T a, T b, T c) {
                    return T(U(c) + (a < b ? U(U(b) - U(a)) : U(U(a) - U(b))));
                });
            });
        case Opcode::kDiv:
            return with_integer(key.type[0], [](auto zero) -> Handler {
                return divide_lanes<decltype(zero), false>;
            });
        case Opcode::kRem:
            return with_integer(key.type[0], [](auto zero) -> Handler {
                return divide_lanes<decltype(zero), true>;
            });
        case Opcode::kAbs:
            return with_integer(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return unary<T>([](T a) { return a < 0 ? T(-Unsigned<T>(a)) : a; });
            });
        case Opcode::kNeg:
            return with_integer(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return unary<T>([](T a) { return T(-Unsigned<T>(a)); });
            });
        case Opcode::kMin:
        case Opcode::kMax:
            return find_min_max(key);
        case Opcode::kDp4a:
        case Opcode::kDp2a:
            return find_dot(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
