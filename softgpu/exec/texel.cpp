// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/texel.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace cubar::softgpu::exec {
namespace {

template <class T>
T read(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof(value));
    return value;
}

// sRGB's transfer function (IEC 61966-2-1).
float from_srgb(float value) {
    return value <= 0.04045f ? value / 12.92f : std::pow((value + 0.055f) / 1.055f, 2.4f);
}

float from_half(uint16_t half) {
    const uint32_t sign = uint32_t{half} >> 15 << 31;
    const uint32_t exponent = half >> 10 & 31;
    const uint32_t fraction = half & 1023;
    if (exponent == 0) {
        const float value = std::ldexp(float(fraction), -24);
        return sign != 0 ? -value : value;
    }
    const uint32_t biased = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | biased << 23 | fraction << 13);
}

template <class Integer>
uint32_t integer(const char* from, bool fractions) {
    const auto value = read<Integer>(from);
    if (!fractions) return uint32_t(int32_t(value));
    constexpr float kMost = float(std::numeric_limits<Integer>::max());
    return std::bit_cast<uint32_t>(std::fmax(float(value) / kMost, -1.0f));
}

uint32_t channel_word(const BoundImage& image, const char* from) {
    const bool fractions = image.sampler.fractions;
    switch (image.channel) {
        case Channel::kU8:
            return integer<uint8_t>(from, fractions);
        case Channel::kS8:
            return integer<int8_t>(from, fractions);
        case Channel::kU16:
            return integer<uint16_t>(from, fractions);
        case Channel::kS16:
            return integer<int16_t>(from, fractions);
        case Channel::kF16:
            return std::bit_cast<uint32_t>(from_half(read<uint16_t>(from)));
        default:
            return read<uint32_t>(from);
    }
}

}  // namespace

Texel decode_texel(const BoundImage& image, const char* bytes) {
    constexpr unsigned kColours = 3;
    Texel texel;
    for (unsigned channel = 0; channel < image.channels; ++channel) {
        texel.words[channel] = channel_word(image, bytes + channel * bytes_of(image.channel));
        if (image.sampler.srgb && channel < kColours) {
            texel.set(channel, from_srgb(texel.number(channel)));
        }
    }
    return texel;
}

Texel border_texel(const BoundImage& image) {
    Texel texel;
    for (unsigned channel = 0; channel < image.channels; ++channel) {
        texel.set(channel, image.sampler.border[channel]);
    }
    return texel;
}

char* ImageMemory::at(const ImageLevel& level, uint64_t byte_x, uint64_t y, uint64_t z,
                      unsigned bytes) const {
    const uint64_t address = level.base + z * level.slice + y * level.pitch + byte_x;
    if (image_.is_foreign) {
        RangeCache& cache = warp_.caches[insn_->aux % kRangeCaches];
        const bool known = address - cache.begin <= cache.length - bytes && cache.length >= bytes;
        if (!known && !refill_cache(warp_, cache, address, bytes)) {
            fault_illegal_address(warp_, insn_, address);
            return nullptr;
        }
    }
    return reinterpret_cast<char*>(address);
}

}  // namespace cubar::softgpu::exec
