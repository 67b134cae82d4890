// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::softgpu::ptx {

// Every type specifier of PTX: name, spelling, width in bits, class.
// The class letter is b (untyped bits), u, s (integers), f (one float), p (packed), x (predicate),
// o (opaque reference: 64-bit handles of textures, samplers and surfaces).
// clang-format off
#define CUBAR_PTX_TYPES(X)                                                                      \
    X(kB1, "b1", 1, 'b') X(kB4, "b4", 4, 'b') X(kB8, "b8", 8, 'b') X(kB16, "b16", 16, 'b')      \
    X(kB32, "b32", 32, 'b') X(kB64, "b64", 64, 'b') X(kB128, "b128", 128, 'b')                  \
    X(kU2, "u2", 2, 'u') X(kU4, "u4", 4, 'u') X(kU8, "u8", 8, 'u') X(kU16, "u16", 16, 'u')      \
    X(kU32, "u32", 32, 'u') X(kU64, "u64", 64, 'u')                                             \
    X(kS2, "s2", 2, 's') X(kS4, "s4", 4, 's') X(kS8, "s8", 8, 's') X(kS16, "s16", 16, 's')      \
    X(kS32, "s32", 32, 's') X(kS64, "s64", 64, 's')                                             \
    X(kF16, "f16", 16, 'f') X(kBf16, "bf16", 16, 'f') X(kF32, "f32", 32, 'f')                   \
    X(kF64, "f64", 64, 'f') X(kTf32, "tf32", 32, 'f')                                           \
    X(kF16x2, "f16x2", 32, 'p') X(kBf16x2, "bf16x2", 32, 'p') X(kF32x2, "f32x2", 64, 'p')       \
    X(kU16x2, "u16x2", 32, 'p') X(kS16x2, "s16x2", 32, 'p')                                     \
    X(kU8x4, "u8x4", 32, 'p') X(kS8x4, "s8x4", 32, 'p')                                         \
    X(kE4m3, "e4m3", 8, 'f') X(kE5m2, "e5m2", 8, 'f') X(kE3m2, "e3m2", 8, 'f')                  \
    X(kE2m3, "e2m3", 8, 'f') X(kE2m1, "e2m1", 4, 'f') X(kUe8m0, "ue8m0", 8, 'f')                \
    X(kUe4m3, "ue4m3", 8, 'f') X(kE4m3x2, "e4m3x2", 16, 'p') X(kE5m2x2, "e5m2x2", 16, 'p')      \
    X(kE3m2x2, "e3m2x2", 16, 'p') X(kE2m3x2, "e2m3x2", 16, 'p') X(kE2m1x2, "e2m1x2", 8, 'p')    \
    X(kUe8m0x2, "ue8m0x2", 16, 'p') X(kE4m3x4, "e4m3x4", 32, 'p') X(kE5m2x4, "e5m2x4", 32, 'p') \
    X(kE3m2x4, "e3m2x4", 32, 'p') X(kE2m3x4, "e2m3x4", 32, 'p') X(kE2m1x4, "e2m1x4", 16, 'p')   \
    X(kS2f6x2, "s2f6x2", 16, 'p')                                                               \
    X(kPred, "pred", 1, 'x')                                                                    \
    X(kTexref, "texref", 64, 'o') X(kSamplerref, "samplerref", 64, 'o')                         \
    X(kSurfref, "surfref", 64, 'o')
// clang-format on

enum class Type : std::uint8_t {
    kNone,
#define CUBAR_PTX_ENUMERATOR(name, text, bits, kind) name,
    CUBAR_PTX_TYPES(CUBAR_PTX_ENUMERATOR)
#undef CUBAR_PTX_ENUMERATOR
};

// The spelling without its dot ("s32"); "" for kNone.
std::string_view to_string(Type type);

// Width of a value in bits: 1 for a predicate, 0 for kNone.
unsigned bits_of(Type type);

// Bytes in memory: bits rounded up to whole bytes.
inline unsigned bytes_of(Type type) {
    return (bits_of(type) + 7) / 8;
}

bool is_bits(Type type);      // b8 … b128
bool is_signed(Type type);    // s8 … s64
bool is_unsigned(Type type);  // u8 … u64
bool is_integer(Type type);   // signed or unsigned, not packed
bool is_float(Type type);     // one floating-point number
bool is_packed(Type type);    // several numbers in one register (f16x2, u8x4, …)

enum class Space : std::uint8_t {
    kGeneric,  // none was written
    kReg,
    kSreg,
    kConst,
    kGlobal,
    kLocal,
    kParam,   // .param, .param::entry and .param::func
    kShared,  // .shared and .shared::cta
    kSharedCluster,
    kTex,
};

std::string_view to_string(Space space);

}  // namespace cubar::softgpu::ptx
