// SPDX-License-Identifier: Apache-2.0
// mma and wmma.mma: d = a * b + c on tiles in row-major order.
//
// Numbers: products are exact; an element of f32 starts from c's and adds the products in ascending
// k, each sum rounded to nearest even as a float. An element of f16 does the same and is rounded to
// f16 once, at the end. PTX leaves order and rounding open ("at least single precision"); tensor
// cores add several products at once and truncate, so last bits differ from theirs. f64 is a chain
// of fused multiply-adds in ascending k. Integers are exact, and wrap or, with .satfinite, saturate
// once, at the end.
#include "softgpu/exec/handlers/float_types.h"
#include "softgpu/exec/handlers/tile.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

// --- floating point ---

constexpr unsigned kMostDepth = kMostWords * 4;  // elements along k, of 8 bits each

struct Factors {
    alignas(64) float a[kMostRows][kMostDepth];
    alignas(64) float b[kMostDepth][kMostColumns];
};

struct F16 {
    static constexpr unsigned kElements = 2;  // of a word
    static float read(uint32_t word, unsigned element) {
        return half_to_float(uint16_t(word >> (16 * element)));
    }
};

struct Bf16 {
    static constexpr unsigned kElements = 2;
    static float read(uint32_t word, unsigned element) {
        return as_float(element == 0 ? word << 16 : word & 0xffff0000);
    }
};

struct Tf32 {
    static constexpr unsigned kElements = 1;
    static float read(uint32_t word, unsigned) { return as_float(word & 0xffffe000); }
};

struct E4m3 {
    static constexpr unsigned kElements = 4;
    static float read(uint32_t word, unsigned element) {
        const uint32_t byte = word >> (8 * element) & 0xff;
        const auto half = uint16_t((byte & 0x80) << 8 | (byte & 0x7f) << 7);
        return (byte & 0x7f) == 0x7f ? as_float(kNan32) : half_to_float(half) * 256;
    }
};

struct E5m2 {
    static constexpr unsigned kElements = 4;
    static float read(uint32_t word, unsigned element) {
        return half_to_float(uint16_t((word >> (8 * element) & 0xff) << 8));
    }
};

template <class Format>
void rows_to_floats(const Multiplication& form, const Operands& operands, Factors& factors) {
    for (unsigned row = 0; row < form.row_pieces * kPiece; ++row) {
        for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; ++word) {
            for (unsigned element = 0; element < Format::kElements; ++element) {
                factors.a[row][word * Format::kElements + element] =
                    Format::read(operands.a[row][word], element);
            }
        }
    }
}

template <class Format>
void columns_to_floats(const Multiplication& form, const Operands& operands, Factors& factors) {
    for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; ++word) {
        for (unsigned element = 0; element < Format::kElements; ++element) {
            float* const to = factors.b[word * Format::kElements + element];
            for (unsigned column = 0; column < form.column_pieces * kPiece; column += kPiece) {
                for (unsigned line = 0; line < kPiece; ++line) {
                    to[column + line] = Format::read(operands.b[word][column + line], element);
                }
            }
        }
    }
}

// The words of a line, each of which holds two elements of bf16.
template <>
void rows_to_floats<Bf16>(const Multiplication& form, const Operands& operands, Factors& factors) {
    const __m128i upper = _mm_set1_epi32(int(0xffff0000));
    for (unsigned row = 0; row < form.row_pieces * kPiece; ++row) {
        for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; word += kWordsOfPiece) {
            const __m128i words =
                _mm_load_si128(reinterpret_cast<const __m128i*>(&operands.a[row][word]));
            const __m128i even = _mm_slli_epi32(words, 16);
            const __m128i odd = _mm_and_si128(words, upper);
            auto* const to = reinterpret_cast<__m128i*>(&factors.a[row][word * 2]);
            to[0] = _mm_unpacklo_epi32(even, odd);
            to[1] = _mm_unpackhi_epi32(even, odd);
        }
    }
}

#ifdef __F16C__
template <>
void rows_to_floats<F16>(const Multiplication& form, const Operands& operands, Factors& factors) {
    for (unsigned row = 0; row < form.row_pieces * kPiece; ++row) {
        for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; word += kWordsOfPiece) {
            const __m128i halves =
                _mm_load_si128(reinterpret_cast<const __m128i*>(&operands.a[row][word]));
            _mm256_store_ps(&factors.a[row][word * 2], _mm256_cvtph_ps(halves));
        }
    }
}

template <>
void columns_to_floats<F16>(const Multiplication& form, const Operands& operands,
                            Factors& factors) {
    const __m128i low = _mm_set1_epi32(0xffff);
    for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; ++word) {
        for (unsigned column = 0; column < form.column_pieces * kPiece; column += kPiece) {
            const auto* from = reinterpret_cast<const __m128i*>(&operands.b[word][column]);
            const __m128i even =
                _mm_packus_epi32(_mm_and_si128(from[0], low), _mm_and_si128(from[1], low));
            const __m128i odd =
                _mm_packus_epi32(_mm_srli_epi32(from[0], 16), _mm_srli_epi32(from[1], 16));
            _mm256_store_ps(&factors.b[word * 2][column], _mm256_cvtph_ps(even));
            _mm256_store_ps(&factors.b[word * 2 + 1][column], _mm256_cvtph_ps(odd));
        }
    }
}
#endif

// sums += a * b, for 8 rows by 8 columns. All NaNs become the one that arithmetic gives.
void multiply_piece(const Factors& factors, unsigned row, unsigned column, unsigned depth,
                    Sums& sums) {
#ifdef __FMA__
    __m256 sum[kPiece];
    for (unsigned line = 0; line < kPiece; ++line) {
        // In halves, as they were stored: what was stored in parts cannot be forwarded as a whole.
        const auto* from = reinterpret_cast<const float*>(&sums.at[row + line][column]);
        sum[line] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_load_ps(from)),
                                         _mm_load_ps(from + 4), 1);
    }
    for (unsigned k = 0; k < depth; ++k) {
        const __m256 b = _mm256_load_ps(&factors.b[k][column]);
#pragma GCC unroll 8
        for (unsigned line = 0; line < kPiece; ++line) {
            sum[line] =
                _mm256_fmadd_ps(_mm256_broadcast_ss(&factors.a[row + line][k]), b, sum[line]);
        }
    }
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(int(kNan32)));
    for (unsigned line = 0; line < kPiece; ++line) {
        const __m256 is_nan = _mm256_cmp_ps(sum[line], sum[line], _CMP_UNORD_Q);
        _mm256_store_ps(reinterpret_cast<float*>(&sums.at[row + line][column]),
                        _mm256_blendv_ps(sum[line], nan, is_nan));
    }
#else
    const __m128 nan = _mm_castsi128_ps(_mm_set1_epi32(int(kNan32)));
    const auto store = [&](float* to, __m128 sum) {
        const __m128 is_nan = _mm_cmpunord_ps(sum, sum);
        _mm_store_ps(to, _mm_or_ps(_mm_and_ps(is_nan, nan), _mm_andnot_ps(is_nan, sum)));
    };
    for (unsigned line = 0; line < kPiece; ++line) {
        auto* const to = reinterpret_cast<float*>(&sums.at[row + line][column]);
        __m128 low = _mm_load_ps(to);
        __m128 high = _mm_load_ps(to + 4);
        for (unsigned k = 0; k < depth; ++k) {
            const __m128 a = _mm_set1_ps(factors.a[row + line][k]);
            low = _mm_add_ps(low, _mm_mul_ps(a, _mm_load_ps(&factors.b[k][column])));
            high = _mm_add_ps(high, _mm_mul_ps(a, _mm_load_ps(&factors.b[k][column + 4])));
        }
        store(to, low);
        store(to + 4, high);
    }
#endif
}

void read_halves(const Warp& warp, const Multiplication& form, Sums& sums) {
    each_piece(form, [&](unsigned piece, unsigned row, unsigned column) {
        const auto* from = reinterpret_cast<const uint16_t*>(lanes<uint32_t>(warp, form.c[piece]));
        for (unsigned line = 0; line < kPiece; ++line) {
            for (unsigned k = 0; k < kPiece; ++k) {
                sums.at[row + line][column + k] = bits_of(half_to_float(from[line * kPiece + k]));
            }
        }
    });
}

void write_halves(const Warp& warp, const Multiplication& form, uint32_t mask, const Sums& sums) {
    each_piece(form, [&](unsigned piece, unsigned row, unsigned column) {
        alignas(64) uint32_t result[kLanes];
        auto* const to = reinterpret_cast<uint16_t*>(result);
        for (unsigned line = 0; line < kPiece; ++line) {
            for (unsigned k = 0; k < kPiece; ++k) {
                to[line * kPiece + k] = float_to_half(as_float(sums.at[row + line][column + k]));
            }
        }
        store_lanes(lanes<uint32_t>(warp, form.d[piece]), result, mask);
    });
}

// .satfinite of wmma: infinities become the largest numbers and NaNs zeros.
void make_finite(const Multiplication& form, Sums& sums) {
    const float largest = form.d_half ? 65504.0f : 0x1.fffffep127f;
    each_piece(form, [&](unsigned, unsigned row, unsigned column) {
        for (unsigned line = 0; line < kPiece; ++line) {
            auto* const at = reinterpret_cast<float*>(&sums.at[row + line][column]);
            for (unsigned k = 0; k < kPiece; ++k) {
                const float low = at[k] > -largest ? at[k] : -largest;
                const float high = low < largest ? low : largest;
                at[k] = at[k] != at[k] ? 0.0f : high;
            }
        }
    });
}

template <class FormatA, class FormatB>
const Insn* multiply_floats(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const auto& form = *reinterpret_cast<const Multiplication*>(insn->imm);
    Operands operands;
    Factors factors;
    Sums sums;
    read_operands(warp, form, operands);
    rows_to_floats<FormatA>(form, operands, factors);
    columns_to_floats<FormatB>(form, operands, factors);
    form.c_half ? read_halves(warp, form, sums) : read_sums(warp, form, sums);
    const unsigned depth = form.depth_pieces * kWordsOfPiece * FormatA::kElements;
    each_piece(form, [&](unsigned, unsigned row, unsigned column) {
        multiply_piece(factors, row, column, depth, sums);
    });
    if (form.saturate) make_finite(form, sums);
    form.d_half ? write_halves(warp, form, mask, sums) : write_sums(warp, form, mask, sums);
    return insn + 1;
}

// --- integers ---

constexpr unsigned kMostPairs = kMostWords * 4;

// Each word holds two factors of 16 bits; which two of a word is the same in a and in b.
struct Pairs {
    alignas(64) uint32_t a[kMostRows][kMostPairs];
    alignas(64) uint32_t b[kMostPairs][kMostColumns];
};

// The elements of kBits at position `part` of the halves of four words, extended to 16 bits.
template <unsigned kBits, bool kSigned>
void extend_part(const uint32_t* from, unsigned part, uint32_t* to) {
    const __m128i words = _mm_load_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i top = _mm_sll_epi16(words, _mm_cvtsi32_si128(int(16 - kBits * (part + 1))));
    constexpr int kDown = 16 - kBits;
    _mm_store_si128(reinterpret_cast<__m128i*>(to),
                    kSigned ? _mm_srai_epi16(top, kDown) : _mm_srli_epi16(top, kDown));
}

template <unsigned kBits, bool kSigned>
void pair_rows(const Multiplication& form, const Operands& operands, Pairs& pairs) {
    constexpr unsigned kParts = 16 / kBits;
    for (unsigned row = 0; row < form.row_pieces * kPiece; ++row) {
        for (unsigned piece = 0; piece < form.depth_pieces; ++piece) {
            const uint32_t* from = &operands.a[row][piece * kWordsOfPiece];
            for (unsigned part = 0; part < kParts; ++part) {
                extend_part<kBits, kSigned>(from, part,
                                            &pairs.a[row][(piece * kParts + part) * kWordsOfPiece]);
            }
        }
    }
}

template <unsigned kBits, bool kSigned>
void pair_columns(const Multiplication& form, const Operands& operands, Pairs& pairs) {
    constexpr unsigned kParts = 16 / kBits;
    for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; ++word) {
        const unsigned piece = word / kWordsOfPiece;
        for (unsigned part = 0; part < kParts; ++part) {
            uint32_t* const to =
                pairs.b[(piece * kParts + part) * kWordsOfPiece + word % kWordsOfPiece];
            for (unsigned column = 0; column < form.column_pieces * kPiece; column += 4) {
                extend_part<kBits, kSigned>(&operands.b[word][column], part, to + column);
            }
        }
    }
}

// sums = a * b, for 8 rows by 8 columns.
void multiply_pairs(const Pairs& pairs, unsigned row, unsigned column, unsigned depth, Sums& sums) {
#ifdef __AVX2__
    __m256i sum[kPiece];
    for (unsigned line = 0; line < kPiece; ++line) sum[line] = _mm256_setzero_si256();
    for (unsigned k = 0; k < depth; ++k) {
        const __m256i b = _mm256_load_si256(reinterpret_cast<const __m256i*>(&pairs.b[k][column]));
#pragma GCC unroll 8
        for (unsigned line = 0; line < kPiece; ++line) {
            const __m256i a = _mm256_set1_epi32(int(pairs.a[row + line][k]));
            sum[line] = _mm256_add_epi32(sum[line], _mm256_madd_epi16(a, b));
        }
    }
    for (unsigned line = 0; line < kPiece; ++line) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(&sums.at[row + line][column]), sum[line]);
    }
#else
    for (unsigned line = 0; line < kPiece; ++line) {
        __m128i low = _mm_setzero_si128();
        __m128i high = _mm_setzero_si128();
        for (unsigned k = 0; k < depth; ++k) {
            const __m128i a = _mm_set1_epi32(int(pairs.a[row + line][k]));
            const auto* b = reinterpret_cast<const __m128i*>(&pairs.b[k][column]);
            low = _mm_add_epi32(low, _mm_madd_epi16(a, b[0]));
            high = _mm_add_epi32(high, _mm_madd_epi16(a, b[1]));
        }
        auto* const to = reinterpret_cast<__m128i*>(&sums.at[row + line][column]);
        to[0] = low;
        to[1] = high;
    }
#endif
}

// sums += products, which are far from overflowing by themselves.
void add_products(const Multiplication& form, const Sums& products, Sums& sums) {
    each_piece(form, [&](unsigned, unsigned row, unsigned column) {
        for (unsigned line = 0; line < kPiece; ++line) {
            uint32_t* const to = &sums.at[row + line][column];
            const uint32_t* from = &products.at[row + line][column];
            if (!form.saturate) {
                for (unsigned k = 0; k < kPiece; ++k) to[k] += from[k];
                continue;
            }
            for (unsigned k = 0; k < kPiece; ++k) {
                const int64_t sum = int64_t{int32_t(to[k])} + int32_t(from[k]);
                to[k] = uint32_t(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
            }
        }
    });
}

template <unsigned kBits>
const Insn* multiply_integers(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const auto& form = *reinterpret_cast<const Multiplication*>(insn->imm);
    Operands operands;
    Pairs pairs;
    Sums products;
    Sums sums;
    read_operands(warp, form, operands);
    form.a_signed ? pair_rows<kBits, true>(form, operands, pairs)
                  : pair_rows<kBits, false>(form, operands, pairs);
    form.b_signed ? pair_columns<kBits, true>(form, operands, pairs)
                  : pair_columns<kBits, false>(form, operands, pairs);
    read_sums(warp, form, sums);
    const unsigned depth = form.depth_pieces * kWordsOfPiece * (16 / kBits);
    each_piece(form, [&](unsigned, unsigned row, unsigned column) {
        multiply_pairs(pairs, row, column, depth, products);
    });
    add_products(form, products, sums);
    write_sums(warp, form, mask, sums);
    return insn + 1;
}

const Insn* multiply_bits(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const auto& form = *reinterpret_cast<const Multiplication*>(insn->imm);
    Operands operands;
    Sums sums;
    read_operands(warp, form, operands);
    read_sums(warp, form, sums);
    for (unsigned row = 0; row < form.row_pieces * kPiece; ++row) {
        for (unsigned word = 0; word < form.depth_pieces * kWordsOfPiece; ++word) {
            const uint32_t a = operands.a[row][word];
            for (unsigned column = 0; column < form.column_pieces * kPiece; ++column) {
                const uint32_t b = operands.b[word][column];
                const uint32_t bits = form.exclusive_or ? a ^ b : a & b;
                sums.at[row][column] += uint32_t(__builtin_popcount(bits));
            }
        }
    }
    write_sums(warp, form, mask, sums);
    return insn + 1;
}

// --- f64 ---

constexpr unsigned kMostRowsF64 = 16;
constexpr unsigned kMostDepthF64 = 16;

// One register holds 8 lines of 4 elements.
void read_doubles(const Warp& warp, const Slot* registers, unsigned pieces, unsigned depth_pieces,
                  bool pieces_first, double (&to)[kMostRowsF64][kMostDepthF64]) {
    for (unsigned piece = 0; piece < pieces; ++piece) {
        for (unsigned depth = 0; depth < depth_pieces; ++depth) {
            const unsigned at =
                pieces_first ? depth * pieces + piece : piece * depth_pieces + depth;
            const double* from = lanes<double>(warp, registers[at]);
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                to[piece * kPiece + lane / 4][depth * 4 + lane % 4] = from[lane];
            }
        }
    }
}

const Insn* multiply_doubles(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const auto& form = *reinterpret_cast<const Multiplication*>(insn->imm);
    double a[kMostRowsF64][kMostDepthF64];
    double b[kMostRowsF64][kMostDepthF64];  // [column][k]
    alignas(64) double result[kMostFragmentRegisters][kLanes];
    read_doubles(warp, form.a, form.row_pieces, form.depth_pieces, true, a);
    read_doubles(warp, form.b, 1, form.depth_pieces, false, b);
    const unsigned count = form.row_pieces * 2u;
    for (unsigned part = 0; part < count; ++part) {
        const double* c = lanes<double>(warp, form.c[part]);
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            const double* row = a[part / 2 * kPiece + lane / 4];
            const double* column = b[lane % 4 * 2 + part % 2];
            double sum = c[lane];
            for (unsigned k = 0; k < form.depth_pieces * 4u; ++k) {
                sum = __builtin_fma(row[k], column[k], sum);
            }
            result[part][lane] = sum != sum ? as_double(kNan64) : sum;
        }
    }
    for (unsigned part = 0; part < count; ++part) {
        store_lanes(lanes<double>(warp, form.d[part]), result[part], mask);
    }
    return insn + 1;
}

}  // namespace

Handler find_mma(const Key& key) {
    if (key.opcode != Opcode::kMma || key.in_quads) return nullptr;
    switch (key.type[1]) {
        case Type::kF16:
            return multiply_floats<F16, F16>;
        case Type::kBf16:
            return multiply_floats<Bf16, Bf16>;
        case Type::kTf32:
            return multiply_floats<Tf32, Tf32>;
        case Type::kE4m3:
            return key.type[2] == Type::kE4m3 ? multiply_floats<E4m3, E4m3>
                                              : multiply_floats<E4m3, E5m2>;
        case Type::kE5m2:
            return key.type[2] == Type::kE5m2 ? multiply_floats<E5m2, E5m2>
                                              : multiply_floats<E5m2, E4m3>;
        case Type::kU8:
        case Type::kS8:
            return multiply_integers<8>;
        case Type::kU4:
        case Type::kS4:
            return multiply_integers<4>;
        case Type::kB1:
            return multiply_bits;
        case Type::kF64:
            return multiply_doubles;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
