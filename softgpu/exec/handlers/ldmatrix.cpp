// SPDX-License-Identifier: Apache-2.0
// ldmatrix, stmatrix and movmatrix: matrices of 8 by 8 elements of 16 bits, a row of 16 bytes at
// each address. Lane 4 * g + t holds elements 2 * t and 2 * t + 1 of row (transposed: column) g.
#include "softgpu/exec/handlers/memory_access.h"
#include "softgpu/exec/handlers/tile.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

constexpr unsigned kRowBytes = 16;

// Interleaves the upper with the lower half of the rows, which halves the distance of neighbours in
// a column; three times over, columns are rows.
void transpose(const uint16_t* from, uint16_t* to) {
    __m128i rows[2][kPiece];
#pragma GCC unroll 8
    for (unsigned row = 0; row < kPiece; ++row) {
        rows[0][row] = _mm_load_si128(reinterpret_cast<const __m128i*>(from) + row);
    }
#pragma GCC unroll 3
    for (unsigned time = 0; time < 3; ++time) {
        const __m128i* const before = rows[time % 2];
        __m128i* const after = rows[(time + 1) % 2];
#pragma GCC unroll 4
        for (unsigned row = 0; row < kPiece / 2; ++row) {
            after[2 * row] = _mm_unpacklo_epi16(before[row], before[row + kPiece / 2]);
            after[2 * row + 1] = _mm_unpackhi_epi16(before[row], before[row + kPiece / 2]);
        }
    }
#pragma GCC unroll 8
    for (unsigned row = 0; row < kPiece; ++row) {
        _mm_store_si128(reinterpret_cast<__m128i*>(to) + row, rows[1][row]);
    }
}

// Where the first `count` lanes' rows lie. False after a fault.
template <ptx::Space kSpace>
bool resolve_rows(Warp& warp, const Insn* insn, unsigned count, Access& access) {
    const uint32_t used = kAllLanes >> (kLanes - count);
    return resolve<kSpace>(warp, insn, used, insn->op[4], kRowBytes, access);
}

// op[0..count): registers, of one matrix each; op[4]: the address. Generic addresses must be ones
// of shared memory; any other would be a fault, but reads like memory here.
template <ptx::Space kSpace, bool kTransposed>
const Insn* load_matrices(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    Access access;
    if (!resolve_rows<kSpace>(warp, insn, insn->count * kPiece, access)) return nullptr;
    for (unsigned matrix = 0; matrix < insn->count; ++matrix) {
        alignas(64) uint16_t rows[kPiece * kPiece];
        alignas(64) uint16_t turned[kPiece * kPiece];
        for (unsigned row = 0; row < kPiece; ++row) {
            __builtin_memcpy(rows + row * kPiece, access.at[matrix * kPiece + row], kRowBytes);
        }
        if (kTransposed) transpose(rows, turned);
        store_lanes(lanes<uint32_t>(warp, insn->op[matrix]),
                    reinterpret_cast<const uint32_t*>(kTransposed ? turned : rows), mask);
    }
    return insn + 1;
}

template <ptx::Space kSpace, bool kTransposed>
const Insn* store_matrices(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    Access access;
    if (!resolve_rows<kSpace>(warp, insn, insn->count * kPiece, access)) return nullptr;
    for (unsigned matrix = 0; matrix < insn->count; ++matrix) {
        alignas(64) uint16_t turned[kPiece * kPiece];
        const auto* rows =
            reinterpret_cast<const uint16_t*>(lanes<uint32_t>(warp, insn->op[matrix]));
        if (kTransposed) {
            transpose(rows, turned);
            rows = turned;
        }
        for (unsigned row = 0; row < kPiece; ++row) {
            __builtin_memcpy(access.at[matrix * kPiece + row], rows + row * kPiece, kRowBytes);
        }
    }
    return insn + 1;
}

const Insn* transpose_matrix(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    alignas(64) uint16_t turned[kPiece * kPiece];
    transpose(reinterpret_cast<const uint16_t*>(lanes<uint32_t>(warp, insn->op[1])), turned);
    store_lanes(lanes<uint32_t>(warp, insn->op[0]), reinterpret_cast<const uint32_t*>(turned),
                mask);
    return insn + 1;
}

template <bool kTransposed>
Handler find_access(const Key& key) {
    const bool load = key.opcode == Opcode::kLdmatrix;
    if (key.space == ptx::Space::kShared) {
        return load ? load_matrices<ptx::Space::kShared, kTransposed>
                    : store_matrices<ptx::Space::kShared, kTransposed>;
    }
    return load ? load_matrices<ptx::Space::kGeneric, kTransposed>
                : store_matrices<ptx::Space::kGeneric, kTransposed>;
}

}  // namespace

Handler find_ldmatrix(const Key& key) {
    switch (key.opcode) {
        case Opcode::kMovmatrix:
            return transpose_matrix;
        case Opcode::kLdmatrix:
        case Opcode::kStmatrix:
            if (key.type[0] != Type::kB16) return nullptr;
            return key.has(Modifier::kTrans) ? find_access<true>(key) : find_access<false>(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
