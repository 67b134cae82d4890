// SPDX-License-Identifier: Apache-2.0
// Where a texture's coordinates lead and how neighbouring elements are mixed: the formulas of the
// CUDA programming guide's appendix on texture fetching.
#pragma once

#include <array>
#include <optional>

#include "softgpu/exec/image_form.h"
#include "softgpu/exec/texel.h"

namespace cubar::softgpu::exec {

/// One thread's coordinates.
struct TexturePoint {
    std::array<float, 3> at{};
    std::array<int32_t, 3> index{};  // in place of `at`, for integer coordinates
    uint32_t layer = 0;
    float lod = 0;
    std::array<std::array<float, 3>, 2> gradient{};  // along the two axes of the screen
};

/// Reads one texture for one instruction. The functions return nothing after a fault.
class TextureSampler {
public:
    TextureSampler(const ImageMemory& memory, const ImageForm& form)
        : memory_(memory), image_(memory.image()), form_(form) {}

    /// tex.
    [[nodiscard]] std::optional<Texel> sample(const TexturePoint& point) const;
    /// tld4: one channel of the four elements that linear filtering would mix.
    [[nodiscard]] std::optional<Texel> gather(const TexturePoint& point) const;

private:
    /// A point's place in the faces, layers and dimensions of a level.
    struct Place {
        std::array<float, 3> at{};
        std::array<int64_t, 3> index{};
        uint32_t first_slice = 0;  // of its layer
        bool whole = false;        // `index` says it
    };

    [[nodiscard]] Place place(const TexturePoint& point) const;
    [[nodiscard]] float level_of(const TexturePoint& point) const;
    [[nodiscard]] std::optional<Texel> sample_level(const ImageLevel& level,
                                                    const Place& place) const;
    [[nodiscard]] std::optional<Texel> mix(const ImageLevel& level, const Place& place) const;
    /// The element at indices that may lie outside.
    [[nodiscard]] std::optional<Texel> fetch(const ImageLevel& level, std::array<int64_t, 3> index,
                                             uint32_t first_slice) const;
    /// A coordinate in elements of the level.
    [[nodiscard]] float scaled(float coordinate, unsigned axis, uint32_t size) const;
    [[nodiscard]] Addressing addressing(unsigned axis) const;

    const ImageMemory& memory_;
    const BoundImage& image_;
    const ImageForm& form_;
};

}  // namespace cubar::softgpu::exec
