// SPDX-License-Identifier: Apache-2.0
// The widest integer vectors of this instruction set, for what compilers do not find by themselves.
// See lanes.h about the unnamed namespace; intrinsics are always inlined, so the linker never sees
// them.
#pragma once

#include <immintrin.h>

#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

#if defined(__AVX512BW__)
using Vector = __m512i;
inline Vector load_vector(const uint32_t* from) {
    return _mm512_load_si512(from);
}
inline void store_vector(uint32_t* to, Vector a) {
    _mm512_store_si512(to, a);
}
inline Vector spread32(uint32_t a) {
    return _mm512_set1_epi32(int(a));
}
inline Vector add32(Vector a, Vector b) {
    return _mm512_add_epi32(a, b);
}
inline Vector multiply_add_pairs16(Vector a, Vector b) {
    return _mm512_madd_epi16(a, b);
}
template <int kBy>
Vector left16(Vector a) {
    return _mm512_slli_epi16(a, kBy);
}
template <int kBy>
Vector right16(Vector a) {
    return _mm512_srli_epi16(a, kBy);
}
template <int kBy>
Vector right16_signed(Vector a) {
    return _mm512_srai_epi16(a, kBy);
}
#elif defined(__AVX2__)
using Vector = __m256i;
inline Vector load_vector(const uint32_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}
inline void store_vector(uint32_t* to, Vector a) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), a);
}
inline Vector spread32(uint32_t a) {
    return _mm256_set1_epi32(int(a));
}
inline Vector add32(Vector a, Vector b) {
    return _mm256_add_epi32(a, b);
}
inline Vector multiply_add_pairs16(Vector a, Vector b) {
    return _mm256_madd_epi16(a, b);
}
template <int kBy>
Vector left16(Vector a) {
    return _mm256_slli_epi16(a, kBy);
}
template <int kBy>
Vector right16(Vector a) {
    return _mm256_srli_epi16(a, kBy);
}
template <int kBy>
Vector right16_signed(Vector a) {
    return _mm256_srai_epi16(a, kBy);
}
#else
using Vector = __m128i;
inline Vector load_vector(const uint32_t* from) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(from));
}
inline void store_vector(uint32_t* to, Vector a) {
    _mm_store_si128(reinterpret_cast<__m128i*>(to), a);
}
inline Vector spread32(uint32_t a) {
    return _mm_set1_epi32(int(a));
}
inline Vector add32(Vector a, Vector b) {
    return _mm_add_epi32(a, b);
}
inline Vector multiply_add_pairs16(Vector a, Vector b) {
    return _mm_madd_epi16(a, b);
}
template <int kBy>
Vector left16(Vector a) {
    return _mm_slli_epi16(a, kBy);
}
template <int kBy>
Vector right16(Vector a) {
    return _mm_srli_epi16(a, kBy);
}
template <int kBy>
Vector right16_signed(Vector a) {
    return _mm_srai_epi16(a, kBy);
}
#endif

constexpr unsigned kVectorLanes = sizeof(Vector) / 4;

// A handler's whole: `f` on vectors of three operands of 32 bits. The low lanes are first.
template <class F>
const Insn* ternary_vectors(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[3]);
    alignas(64) uint32_t result[kLanes];
    uint32_t* const to = mask == kAllLanes ? d : result;
    for (unsigned lane = 0; lane < kLanes; lane += kVectorLanes) {
        store_vector(to + lane,
                     F{}(load_vector(a + lane), load_vector(b + lane), load_vector(c + lane)));
    }
    if (mask != kAllLanes) store_lanes(d, result, mask);
    return insn + 1;
}

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
