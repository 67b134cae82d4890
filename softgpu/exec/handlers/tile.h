// SPDX-License-Identifier: Apache-2.0
// Fragments of matrices as tiles in row-major order and back. See lanes.h about the unnamed
// namespace.
#pragma once

#include <immintrin.h>

#include "softgpu/exec/handlers/lanes.h"
#include "softgpu/exec/matrix.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

constexpr unsigned kMostRows = 32;
constexpr unsigned kMostColumns = 32;
constexpr unsigned kMostWords = 8;  // of 32 bits along k: two pieces
constexpr unsigned kWordsOfPiece = 4;

struct Operands {
    alignas(64) uint32_t a[kMostRows][kMostWords];     // [row][word along k]
    alignas(64) uint32_t b[kMostWords][kMostColumns];  // [word along k][column]
};

// For what all lanes execute together (.aligned). False: the handler returns `next`.
inline bool whole_warp(Warp& warp, const Insn* insn, uint32_t& mask, const Insn*& next) {
    if (mask == kAllLanes) return true;
    next = insn + 1;
    return mask != 0 && gather(warp, insn, mask, kAllLanes, next);
}

// A register's 8 lines of 4 words, turned: to[word][line].
inline void turn_piece(uint32_t (*to)[kMostColumns], unsigned column, const uint32_t* from) {
    for (unsigned half = 0; half < 2; ++half, from += 16, column += 4) {
        const auto* lines = reinterpret_cast<const __m128i*>(from);
        const __m128i low01 = _mm_unpacklo_epi32(lines[0], lines[1]);
        const __m128i low23 = _mm_unpacklo_epi32(lines[2], lines[3]);
        const __m128i high01 = _mm_unpackhi_epi32(lines[0], lines[1]);
        const __m128i high23 = _mm_unpackhi_epi32(lines[2], lines[3]);
        const auto store = [&](unsigned word, __m128i value) {
            _mm_store_si128(reinterpret_cast<__m128i*>(&to[word][column]), value);
        };
        store(0, _mm_unpacklo_epi64(low01, low23));
        store(1, _mm_unpackhi_epi64(low01, low23));
        store(2, _mm_unpacklo_epi64(high01, high23));
        store(3, _mm_unpackhi_epi64(high01, high23));
    }
}

inline void read_operands(const Warp& warp, const Multiplication& form, Operands& operands) {
    for (unsigned rows = 0; rows < form.row_pieces; ++rows) {
        for (unsigned depth = 0; depth < form.depth_pieces; ++depth) {
            const auto* from = lanes<uint32_t>(warp, form.a[depth * form.row_pieces + rows]);
            for (unsigned line = 0; line < kPiece; ++line) {
                __builtin_memcpy(&operands.a[rows * kPiece + line][depth * kWordsOfPiece],
                                 from + line * kWordsOfPiece, kWordsOfPiece * sizeof(*from));
            }
        }
    }
    for (unsigned columns = 0; columns < form.column_pieces; ++columns) {
        for (unsigned depth = 0; depth < form.depth_pieces; ++depth) {
            const auto* from = lanes<uint32_t>(warp, form.b[columns * form.depth_pieces + depth]);
            turn_piece(&operands.b[depth * kWordsOfPiece], columns * kPiece, from);
        }
    }
}

// Accumulators of 32 bits.
struct Sums {
    alignas(64) uint32_t at[kMostRows][kMostColumns];
};

template <class Visit>
inline void each_piece(const Multiplication& form, Visit visit) {
    for (unsigned columns = 0; columns < form.column_pieces; ++columns) {
        for (unsigned rows = 0; rows < form.row_pieces; ++rows) {
            visit(columns * form.row_pieces + rows, rows * kPiece, columns * kPiece);
        }
    }
}

inline void read_sums(const Warp& warp, const Multiplication& form, Sums& sums) {
    each_piece(form, [&](unsigned piece, unsigned row, unsigned column) {
        const auto* even =
            reinterpret_cast<const __m128i*>(lanes<uint32_t>(warp, form.c[2 * piece]));
        const auto* odd =
            reinterpret_cast<const __m128i*>(lanes<uint32_t>(warp, form.c[2 * piece + 1]));
        for (unsigned line = 0; line < kPiece; ++line) {
            auto* to = reinterpret_cast<__m128i*>(&sums.at[row + line][column]);
            to[0] = _mm_unpacklo_epi32(even[line], odd[line]);
            to[1] = _mm_unpackhi_epi32(even[line], odd[line]);
        }
    });
}

// The values of lanes that are not in `mask` stay as they are.
inline void write_sums(const Warp& warp, const Multiplication& form, uint32_t mask,
                       const Sums& sums) {
    each_piece(form, [&](unsigned piece, unsigned row, unsigned column) {
        alignas(64) uint32_t parts[2][kLanes];
        uint32_t* to[2];
        for (unsigned part = 0; part < 2; ++part) {
            uint32_t* const d = lanes<uint32_t>(warp, form.d[2 * piece + part]);
            to[part] = mask == kAllLanes ? d : parts[part];
        }
        for (unsigned line = 0; line < kPiece; ++line) {
            const auto* from = reinterpret_cast<const float*>(&sums.at[row + line][column]);
            const __m128 low = _mm_load_ps(from);
            const __m128 high = _mm_load_ps(from + 4);
            const auto store = [&](unsigned part, __m128 value) {
                _mm_store_ps(reinterpret_cast<float*>(to[part] + 4 * line), value);
            };
            store(0, _mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
            store(1, _mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
        }
        if (mask == kAllLanes) return;
        for (unsigned part = 0; part < 2; ++part) {
            store_lanes(lanes<uint32_t>(warp, form.d[2 * piece + part]), parts[part], mask);
        }
    });
}

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
