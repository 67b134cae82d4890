// SPDX-License-Identifier: Apache-2.0
#include "quantise.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace llama {

namespace {

using Bytes = std::vector<uint8_t>;

constexpr float smallest_normal = 0x1p-14F;

/// Rounds to nearest even. K-quants do have scales below a half's smallest normal number.
uint16_t to_half(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = bits >> 16 & 0x8000;
    if (std::fabs(value) < smallest_normal) {
        return static_cast<uint16_t>(sign | std::lrint(std::fabs(value) * 0x1p24F));
    }
    const uint32_t rebased = (bits & 0x7fffffff) - (112U << 23);
    return static_cast<uint16_t>(sign | (rebased + 0xfff + (rebased >> 13 & 1)) >> 13);
}

float from_half(uint16_t half) {
    const uint32_t magnitude = half & 0x7fff;
    const float value = magnitude < 0x400 ? static_cast<float>(magnitude) * 0x1p-24F
                                          : std::bit_cast<float>((magnitude << 13) + (112U << 23));
    return half >> 15 != 0 ? -value : value;
}

void put_half(uint16_t half, Bytes& out) {
    out.push_back(static_cast<uint8_t>(half));
    out.push_back(static_cast<uint8_t>(half >> 8));
}

int nearest(float value, int low, int high) {
    return std::clamp(static_cast<int>(std::nearbyint(value)), low, high);
}

float inverse(float scale) {
    return scale == 0 ? 0 : 1 / scale;
}

/// The value farthest from zero, with its sign.
float extreme(std::span<const float> values) {
    return *std::ranges::max_element(values, {}, [](float v) { return std::fabs(v); });
}

void f32(std::span<const float> values, Bytes& out) {
    const size_t at = out.size();
    out.resize(at + values.size_bytes());
    std::memcpy(&out[at], values.data(), values.size_bytes());
}

void f16(std::span<const float> values, Bytes& out) {
    for (const float value : values) put_half(to_half(value), out);
}

/// value = scale * (q - 8), q in 4 bits; the first 16 in the low nibbles.
void q4_0(std::span<const float> values, Bytes& out) {
    const uint16_t scale = to_half(extreme(values) / -8);
    const float by = inverse(from_half(scale));
    put_half(scale, out);
    for (size_t i = 0; i < 16; ++i) {
        const int low = nearest(values[i] * by + 8, 0, 15);
        const int high = nearest(values[i + 16] * by + 8, 0, 15);
        out.push_back(static_cast<uint8_t>(low | high << 4));
    }
}

/// value = scale * q, q in 8 bits.
void q8_0(std::span<const float> values, Bytes& out) {
    const uint16_t scale = to_half(std::fabs(extreme(values)) / 127);
    const float by = inverse(from_half(scale));
    put_half(scale, out);
    for (const float value : values) {
        out.push_back(static_cast<uint8_t>(nearest(value * by, -127, 127)));
    }
}

/// value = scale * s * q - floor * m: q in 4 bits, and s and m in 6 bits for each 32 values.
void q4_k(std::span<const float> values, Bytes& out) {
    std::array<float, 8> step{};
    std::array<float, 8> lowest{};
    for (size_t b = 0; b < 8; ++b) {
        const auto [low, high] = std::ranges::minmax(values.subspan(b * 32, 32));
        lowest[b] = std::max(0.0F, -low);
        step[b] = (std::max(high, 0.0F) + lowest[b]) / 15;
    }
    const uint16_t scale = to_half(*std::ranges::max_element(step) / 63);
    const uint16_t floor = to_half(*std::ranges::max_element(lowest) / 63);
    std::array<int, 8> s{};
    std::array<int, 8> m{};
    for (size_t b = 0; b < 8; ++b) {
        s[b] = nearest(step[b] * inverse(from_half(scale)), 0, 63);
        m[b] = nearest(lowest[b] * inverse(from_half(floor)), 0, 63);
    }
    put_half(scale, out);
    put_half(floor, out);
    // The first four of each take the low bits of a byte, whose high two bits belong to the others.
    for (size_t b = 0; b < 4; ++b) out.push_back(static_cast<uint8_t>(s[b] | s[b + 4] >> 4 << 6));
    for (size_t b = 0; b < 4; ++b) out.push_back(static_cast<uint8_t>(m[b] | m[b + 4] >> 4 << 6));
    for (size_t b = 4; b < 8; ++b) {
        out.push_back(static_cast<uint8_t>((s[b] & 15) | (m[b] & 15) << 4));
    }
    const auto level = [&](size_t i) {
        const float by = inverse(from_half(scale) * static_cast<float>(s[i / 32]));
        const float base = from_half(floor) * static_cast<float>(m[i / 32]);
        return nearest((values[i] + base) * by, 0, 15);
    };
    for (size_t i = 0; i < 256; i += 64) {
        for (size_t l = i; l < i + 32; ++l) {
            out.push_back(static_cast<uint8_t>(level(l) | level(l + 32) << 4));
        }
    }
}

/// value = scale * s * (q - 32): q in 6 bits, s in 8 bits for each 16 values.
void q6_k(std::span<const float> values, Bytes& out) {
    std::array<float, 16> step{};
    for (size_t b = 0; b < 16; ++b) step[b] = extreme(values.subspan(b * 16, 16)) / -32;
    const uint16_t scale = to_half(extreme(step) / -128);
    std::array<int, 16> s{};
    std::array<int, 256> q{};
    for (size_t b = 0; b < 16; ++b) {
        s[b] = nearest(step[b] * inverse(from_half(scale)), -128, 127);
        const float by = inverse(from_half(scale) * static_cast<float>(s[b]));
        for (size_t i = b * 16; i < b * 16 + 16; ++i) q[i] = nearest(values[i] * by, -32, 31) + 32;
    }
    // Each half of the block has four quarters of 32: their low nibbles, two to a byte …
    for (size_t half = 0; half < 256; half += 128) {
        for (size_t i = half; i < half + 64; ++i) {
            out.push_back(static_cast<uint8_t>((q[i] & 15) | (q[i + 64] & 15) << 4));
        }
    }
    // … then their high two bits, four to a byte.
    for (size_t half = 0; half < 256; half += 128) {
        for (size_t i = half; i < half + 32; ++i) {
            out.push_back(static_cast<uint8_t>(q[i] >> 4 | q[i + 32] >> 4 << 2 |
                                               q[i + 64] >> 4 << 4 | q[i + 96] >> 4 << 6));
        }
    }
    for (const int value : s) out.push_back(static_cast<uint8_t>(value));
    put_half(scale, out);
}

struct Format {
    size_t values;
    size_t bytes;
    void (*store)(std::span<const float> values, Bytes& out);
};

Format format(Type type) {
    switch (type) {
        case Type::F32:
            return {1, 4, f32};
        case Type::F16:
            return {1, 2, f16};
        case Type::Q4_0:
            return {32, 18, q4_0};
        case Type::Q8_0:
            return {32, 34, q8_0};
        case Type::Q4_K:
            return {256, 144, q4_k};
        case Type::Q6_K:
            return {256, 210, q6_k};
    }
    std::abort();
}

}  // namespace

size_t block_values(Type type) {
    return format(type).values;
}

size_t stored_bytes(Type type, size_t values) {
    return values / format(type).values * format(type).bytes;
}

void quantise(Type type, std::span<const float> values, std::vector<uint8_t>& out) {
    const Format f = format(type);
    for (size_t i = 0; i < values.size(); i += f.values) f.store(values.subspan(i, f.values), out);
}

}  // namespace llama
