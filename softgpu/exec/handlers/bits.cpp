// SPDX-License-Identifier: Apache-2.0
// Logic, shifts, bit fields and byte permutation.
#include "softgpu/exec/handlers/vector.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

template <class T>
constexpr unsigned kBits = sizeof(T) * 8;

template <class T>
T shift_left(T a, uint32_t by) {
    return by < kBits<T> ? T(a << by) : T(0);
}

template <class T>
T shift_right(T a, uint32_t by) {
    return T(a >> (by < kBits<T> ? by : kBits<T> - 1)) &
           (kIsSigned<T> || by < kBits<T> ? T(-1) : T(0));
}

Handler find_shift(const Key& key) {
    if (key.opcode == Opcode::kShl) {
        return with_bits(key.type[0], [](auto zero) {
            using T = decltype(zero);
            return binary<T, T, uint32_t>([](T a, uint32_t by) { return shift_left(a, by); });
        });
    }
    const auto right = [](auto zero) {
        using T = decltype(zero);
        return binary<T, T, uint32_t>([](T a, uint32_t by) { return shift_right(a, by); });
    };
    const Handler handler = with_integer(key.type[0], right);
    return handler != nullptr ? handler : with_bits(key.type[0], right);
}

template <bool kLeft, bool kWrap>
uint32_t funnel_shift(uint32_t low, uint32_t high, uint32_t by) {
    const uint32_t n = kWrap ? by & 31 : by < 32 ? by : 32;
    const uint64_t both = uint64_t{high} << 32 | low;
    return kLeft ? uint32_t(both << n >> 32) : uint32_t(both >> n);
}

Handler find_funnel(const Key& key) {
    const bool wrap = key.has(Modifier::kWrap);
    const auto make = [](auto f) { return ternary<uint32_t>(f); };
    if (key.has(Modifier::kL)) {
        return wrap ? make([](uint32_t a, uint32_t b, uint32_t c) {
            return funnel_shift<true, true>(a, b, c);
        })
                    : make([](uint32_t a, uint32_t b, uint32_t c) {
                          return funnel_shift<true, false>(a, b, c);
                      });
    }
    return wrap ? make([](uint32_t a, uint32_t b, uint32_t c) {
        return funnel_shift<false, true>(a, b, c);
    })
                : make([](uint32_t a, uint32_t b, uint32_t c) {
                      return funnel_shift<false, false>(a, b, c);
                  });
}

const Insn* lop3_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[3]);
    const uint32_t table = *lanes<uint32_t>(warp, insn->op[4]);
    uint32_t bit[8];  // bit 4a+2b+c of the table, widened
    for (unsigned index = 0; index < 8; ++index) bit[index] = 0 - (table >> index & 1);
    alignas(64) uint32_t result[kLanes];
    CUBAR_EACH_LANE {
        const uint32_t c00 = bit[0] ^ (c[lane] & (bit[0] ^ bit[1]));
        const uint32_t c01 = bit[2] ^ (c[lane] & (bit[2] ^ bit[3]));
        const uint32_t c10 = bit[4] ^ (c[lane] & (bit[4] ^ bit[5]));
        const uint32_t c11 = bit[6] ^ (c[lane] & (bit[6] ^ bit[7]));
        const uint32_t b0 = c00 ^ (b[lane] & (c00 ^ c01));
        const uint32_t b1 = c10 ^ (b[lane] & (c10 ^ c11));
        result[lane] = b0 ^ (a[lane] & (b0 ^ b1));
    }
    store_lanes(d, result, mask);
    return insn + 1;
}

enum class PredicateLogic { kAnd, kOr, kXor, kNot, kCnot };

template <PredicateLogic kLogic>
const Insn* predicate_logic(Warp& warp, const Insn* insn, uint32_t mask) {
    const uint32_t a = *lanes<uint32_t>(warp, insn->op[1]);
    uint32_t value = ~a;
    if constexpr (kLogic != PredicateLogic::kNot && kLogic != PredicateLogic::kCnot) {
        const uint32_t b = *lanes<uint32_t>(warp, insn->op[2]);
        value = kLogic == PredicateLogic::kAnd  ? a & b
                : kLogic == PredicateLogic::kOr ? a | b
                                                : a ^ b;
    }
    store_mask(lanes<uint32_t>(warp, insn->op[0]), value, mask);
    return insn + 1;
}

Handler find_logic(const Key& key) {
    const bool predicate = key.type[0] == Type::kPred;
    switch (key.opcode) {
        case Opcode::kAnd:
            if (predicate) return predicate_logic<PredicateLogic::kAnd>;
            return with_bits(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return binary<T>([](T a, T b) { return T(a & b); });
            });
        case Opcode::kOr:
            if (predicate) return predicate_logic<PredicateLogic::kOr>;
            return with_bits(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return binary<T>([](T a, T b) { return T(a | b); });
            });
        case Opcode::kXor:
            if (predicate) return predicate_logic<PredicateLogic::kXor>;
            return with_bits(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return binary<T>([](T a, T b) { return T(a ^ b); });
            });
        case Opcode::kNot:
            if (predicate) return predicate_logic<PredicateLogic::kNot>;
            return with_bits(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return unary<T>([](T a) { return T(~a); });
            });
        default:
            return with_bits(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return unary<T>([](T a) { return T(a == 0 ? 1 : 0); });
            });
    }
}

unsigned count_ones(uint64_t a) {
    a -= a >> 1 & 0x5555555555555555;
    a = (a & 0x3333333333333333) + (a >> 2 & 0x3333333333333333);
    a = (a + (a >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return unsigned(a * 0x0101010101010101 >> 56);
}

template <class T>
uint32_t leading_zeros(T a) {
    if (a == 0) return kBits<T>;
    return uint32_t(__builtin_clzll(uint64_t{a})) - (64 - kBits<T>);
}

template <class T>
T reverse_bits(T value) {
    uint64_t a = value;
    a = (a & 0x5555555555555555) << 1 | (a >> 1 & 0x5555555555555555);
    a = (a & 0x3333333333333333) << 2 | (a >> 2 & 0x3333333333333333);
    a = (a & 0x0f0f0f0f0f0f0f0f) << 4 | (a >> 4 & 0x0f0f0f0f0f0f0f0f);
    return T(__builtin_bswap64(a) >> (64 - kBits<T>));
}

// The position of the highest bit that differs from the sign; all ones if there is none.
template <class T, bool kShiftAmount>
uint32_t find_highest(T a) {
    const auto bits = Unsigned<T>(a < 0 ? T(~a) : a);
    if (bits == 0) return 0xffffffff;
    const uint32_t zeros = leading_zeros(bits);
    return kShiftAmount ? zeros : kBits<T> - 1 - zeros;
}

Handler find_count(const Key& key) {
    const bool wide = key.type[0] == Type::kB64;
    switch (key.opcode) {
        case Opcode::kPopc:
            if (wide) {
                return unary<uint32_t, uint64_t>([](uint64_t a) { return count_ones(a); });
            }
            return unary<uint32_t>([](uint32_t a) { return count_ones(a); });
        case Opcode::kClz:
            if (wide) {
                return unary<uint32_t, uint64_t>([](uint64_t a) { return leading_zeros(a); });
            }
            return unary<uint32_t>([](uint32_t a) { return leading_zeros(a); });
        case Opcode::kBrev:
            if (wide) return unary<uint64_t>([](uint64_t a) { return reverse_bits(a); });
            return unary<uint32_t>([](uint32_t a) { return reverse_bits(a); });
        default: {
            const bool shift = key.has(Modifier::kShiftamt);
            return with_integer(key.type[0], [&](auto zero) {
                using T = decltype(zero);
                return shift ? unary<uint32_t, T>([](T a) { return find_highest<T, true>(a); })
                             : unary<uint32_t, T>([](T a) { return find_highest<T, false>(a); });
            });
        }
    }
}

uint32_t find_nth_set(uint32_t bits, uint32_t base, int32_t offset) {
    if (base >= 32) return 0xffffffff;
    if (offset == 0) return (bits >> base & 1) != 0 ? base : 0xffffffff;
    const int step = offset > 0 ? 1 : -1;
    int64_t left = offset > 0 ? int64_t{offset} - 1 : -int64_t{offset} - 1;
    for (int at = int(base); at >= 0 && at < 32; at += step) {
        if ((bits >> at & 1) == 0) continue;
        if (left-- == 0) return uint32_t(at);
    }
    return 0xffffffff;
}

template <bool kClamp>
uint32_t bit_mask(uint32_t a, uint32_t b) {
    const bool position_over = kClamp && a >= 32;
    const bool width_over = kClamp && b >= 32;
    const uint32_t end = (a & 31) + (b & 31);
    const uint32_t from = position_over ? 0 : 0xffffffffu << (a & 31);
    const uint32_t beyond =
        end >= 32 || position_over || width_over ? 0 : 0xffffffffu << (end & 31);
    return from & ~beyond;
}

template <bool kSignExtend, bool kClamp>
uint32_t extend_bits(uint32_t a, uint32_t b) {
    const uint32_t width = b & 31;
    const bool too_large = kClamp && b >= 32;
    const uint32_t above = too_large ? 0 : 0xffffffffu << width;
    const bool sign = kSignExtend && width != 0 && !too_large && (a >> (width - 1) & 1) != 0;
    return (a & ~above) | (sign ? above : 0);
}

template <class T>
T extract_field(T a, uint32_t position, uint32_t length) {
    position &= 0xff;
    length &= 0xff;
    using U = Unsigned<T>;
    if (length == 0) return 0;
    const uint32_t last = position + length - 1 < kBits<T> ? position + length - 1 : kBits<T> - 1;
    const bool sign = kIsSigned<T> && (U(a) >> last & 1) != 0;
    const U field = position < kBits<T> ? U(U(a) >> position) : U(0);
    const uint32_t there = position < kBits<T> ? last - position + 1 : 0;
    if (there >= kBits<T>) return T(field);
    const U below = U((U(1) << there) - 1);
    return T((field & below) | (sign ? U(~below) : U(0)));
}

template <class T>
T insert_field(T field, T into, uint32_t position, uint32_t length) {
    position &= 0xff;
    length &= 0xff;
    if (position >= kBits<T>) return into;
    const T below = length >= kBits<T> ? T(-1) : T((T(1) << length) - 1);
    const T where = T(below << position);
    return T((into & ~where) | (T(field << position) & where));
}

template <class T>
const Insn* insert_field_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const T* b = lanes<T>(warp, insn->op[2]);
    const uint32_t* position = lanes<uint32_t>(warp, insn->op[3]);
    const uint32_t* length = lanes<uint32_t>(warp, insn->op[4]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        d[lane] = insert_field(a[lane], b[lane], position[lane], length[lane]);
    }
    return insn + 1;
}

uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
    const uint64_t bytes = uint64_t{b} << 32 | a;
    uint32_t result = 0;
    for (unsigned byte = 0; byte < 4; ++byte) {
        const uint32_t nibble = selector >> (4 * byte) & 15;
        const auto picked = uint8_t(bytes >> (8 * (nibble & 7)));
        const auto replicated = uint8_t((picked & 0x80) != 0 ? 0xff : 0);
        result |= uint32_t{(nibble & 8) != 0 ? replicated : picked} << (8 * byte);
    }
    return result;
}

// The special modes as selectors of the default one, by the low two bits of c.
uint32_t permute_selector(const uint16_t (&selectors)[4], uint32_t c) {
    return selectors[c & 3];
}

constexpr uint16_t kForward4[4] = {0x3210, 0x4321, 0x5432, 0x6543};
constexpr uint16_t kBackward4[4] = {0x5670, 0x6701, 0x7012, 0x0123};
constexpr uint16_t kReplicate8[4] = {0x0000, 0x1111, 0x2222, 0x3333};
constexpr uint16_t kEdgeLeft[4] = {0x3210, 0x3211, 0x3222, 0x3333};
constexpr uint16_t kEdgeRight[4] = {0x0000, 0x1110, 0x2210, 0x3210};
constexpr uint16_t kReplicate16[4] = {0x1010, 0x3232, 0x1010, 0x3232};

#ifdef __AVX2__
// permute() for eight lanes.
__m256i permute_eight(__m256i a, __m256i b, __m256i selector) {
    // Each nibble of the selector in a byte of its own.
    __m256i nibble = _mm256_and_si256(selector, _mm256_set1_epi32(0xffff));
    nibble = _mm256_and_si256(_mm256_or_si256(nibble, _mm256_slli_epi32(nibble, 8)),
                              _mm256_set1_epi32(0x00ff00ff));
    nibble = _mm256_and_si256(_mm256_or_si256(nibble, _mm256_slli_epi32(nibble, 4)),
                              _mm256_set1_epi32(0x0f0f0f0f));
    const __m256i lane_base = _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0,
                                                0x04040404, 0x08080808, 0x0c0c0c0c);
    const __m256i from = _mm256_or_si256(_mm256_and_si256(nibble, _mm256_set1_epi8(3)), lane_base);
    const __m256i is_b = _mm256_slli_epi32(nibble, 5);  // bit 2 on top of the byte
    const __m256i picked =
        _mm256_blendv_epi8(_mm256_shuffle_epi8(a, from), _mm256_shuffle_epi8(b, from), is_b);
    const __m256i sign = _mm256_cmpgt_epi8(_mm256_setzero_si256(), picked);
    return _mm256_blendv_epi8(picked, sign, _mm256_slli_epi32(nibble, 4));
}

const Insn* permute_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[3]);
    alignas(64) uint32_t result[kLanes];
    for (unsigned lane = 0; lane < kLanes; lane += 8) {
        const auto at = [lane](const uint32_t* from) {
            return _mm256_load_si256(reinterpret_cast<const __m256i*>(from + lane));
        };
        _mm256_store_si256(reinterpret_cast<__m256i*>(result + lane),
                           permute_eight(at(a), at(b), at(c)));
    }
    store_lanes(d, result, mask);
    return insn + 1;
}

constexpr Handler kPermute = permute_lanes;
#else
constexpr Handler kPermute =
    ternary_lanes<uint32_t, uint32_t, uint32_t, uint32_t,
                  decltype([](uint32_t a, uint32_t b, uint32_t c) { return permute(a, b, c); })>;
#endif

template <const uint16_t (&kSelectors)[4]>
Handler permute_mode() {
    return ternary<uint32_t>([](uint32_t a, uint32_t b, uint32_t c) {
        return permute(a, b, permute_selector(kSelectors, c));
    });
}

Handler find_permute(const Key& key) {
    if (key.has(Modifier::kF4e)) return permute_mode<kForward4>();
    if (key.has(Modifier::kB4e)) return permute_mode<kBackward4>();
    if (key.has(Modifier::kRc8)) return permute_mode<kReplicate8>();
    if (key.has(Modifier::kEcl)) return permute_mode<kEdgeLeft>();
    if (key.has(Modifier::kEcr)) return permute_mode<kEdgeRight>();
    if (key.has(Modifier::kRc16)) return permute_mode<kReplicate16>();
    return kPermute;
}

}  // namespace

Handler find_bits(const Key& key) {
    const bool clamp = key.has(Modifier::kClamp);
    switch (key.opcode) {
        case Opcode::kAnd:
        case Opcode::kOr:
        case Opcode::kXor:
        case Opcode::kNot:
        case Opcode::kCnot:
            return find_logic(key);
        case Opcode::kShl:
        case Opcode::kShr:
            return find_shift(key);
        case Opcode::kShf:
            return find_funnel(key);
        case Opcode::kLop3:
            return key.bool_op == ptx::BoolOp::kNone ? lop3_lanes : nullptr;
        case Opcode::kPopc:
        case Opcode::kClz:
        case Opcode::kBrev:
        case Opcode::kBfind:
            return find_count(key);
        case Opcode::kFns:
            return ternary<uint32_t, uint32_t, uint32_t, int32_t>(
                [](uint32_t bits, uint32_t base, int32_t offset) {
                    return find_nth_set(bits, base, offset);
                });
        case Opcode::kBmsk:
            return clamp ? binary<uint32_t>(
                               [](uint32_t a, uint32_t b) { return bit_mask<true>(a, b); })
                         : binary<uint32_t>(
                               [](uint32_t a, uint32_t b) { return bit_mask<false>(a, b); });
        case Opcode::kSzext:
            if (key.type[0] == Type::kS32) {
                return clamp ? binary<uint32_t>([](uint32_t a, uint32_t b) {
                    return extend_bits<true, true>(a, b);
                })
                             : binary<uint32_t>([](uint32_t a, uint32_t b) {
                                   return extend_bits<true, false>(a, b);
                               });
            }
            return clamp ? binary<uint32_t>([](uint32_t a, uint32_t b) {
                return extend_bits<false, true>(a, b);
            })
                         : binary<uint32_t>([](uint32_t a, uint32_t b) {
                               return extend_bits<false, false>(a, b);
                           });
        case Opcode::kBfe:
            return with_integer(key.type[0], [](auto zero) {
                using T = decltype(zero);
                return ternary<T, T, uint32_t, uint32_t>(
                    [](T a, uint32_t position, uint32_t length) {
                        return extract_field(a, position, length);
                    });
            });
        case Opcode::kBfi:
            return key.type[0] == Type::kB64 ? insert_field_lanes<uint64_t>
                                             : insert_field_lanes<uint32_t>;
        case Opcode::kPrmt:
            return find_permute(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
