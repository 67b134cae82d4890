// SPDX-License-Identifier: Apache-2.0
// Elements of textures: from memory to the four words of a result.
#pragma once

#include <array>
#include <bit>

#include "softgpu/exec/bound_image.h"
#include "softgpu/exec/warp.h"

namespace cubar::softgpu::exec {

/// Four channels: floats, or integers where the texture is read as such. Channels that the texture
/// lacks are zero.
struct Texel {
    std::array<uint32_t, 4> words{};

    [[nodiscard]] float number(unsigned channel) const {
        return std::bit_cast<float>(words[channel]);
    }
    void set(unsigned channel, float value) { words[channel] = std::bit_cast<uint32_t>(value); }
};

/// The words of a texel with these bytes.
Texel decode_texel(const BoundImage& image, const char* bytes);

/// The border's colour. A texture that is read as integers gets the colour's bits.
Texel border_texel(const BoundImage& image);

/// An image's memory as a kernel's instruction may touch it.
class ImageMemory {
public:
    ImageMemory(Warp& warp, const Insn* insn, const BoundImage& image)
        : warp_(warp), insn_(insn), image_(image) {}

    /// The bytes, or null after a fault. The place lies inside of the level.
    char* at(const ImageLevel& level, uint64_t byte_x, uint64_t y, uint64_t z,
             unsigned bytes) const;
    [[nodiscard]] const BoundImage& image() const { return image_; }

private:
    Warp& warp_;
    const Insn* insn_;
    const BoundImage& image_;
};

}  // namespace cubar::softgpu::exec
