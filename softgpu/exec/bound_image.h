// SPDX-License-Identifier: Apache-2.0
// What texture and surface objects name, and the handles by which kernels find it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace cubar::softgpu::exec {

/// One channel of an element in memory.
enum class Channel : uint8_t { kU8, kS8, kU16, kS16, kU32, kS32, kF16, kF32 };

[[nodiscard]] constexpr unsigned bytes_of(Channel channel) {
    switch (channel) {
        case Channel::kU8:
        case Channel::kS8:
            return 1;
        case Channel::kU16:
        case Channel::kS16:
        case Channel::kF16:
            return 2;
        default:
            return 4;
    }
}

/// Rows of elements, one behind the other: an array, a level of one, or memory used like one.
struct ImageLevel {
    uint64_t base = 0;
    uint32_t width = 1;  // elements
    uint32_t height = 1;
    uint32_t depth = 1;  // slices, layers or faces
    uint64_t pitch = 0;  // bytes from row to row
    uint64_t slice = 0;
};

/// What a coordinate outside of the image means.
enum class Addressing : uint8_t { kWrap, kClamp, kMirror, kBorder };

/// How a texture is read. The defaults read elements as they are.
struct Sampler {
    std::array<Addressing, 3> addressing{Addressing::kClamp, Addressing::kClamp,
                                         Addressing::kClamp};
    bool linear = false;
    bool linear_between_levels = false;
    bool normalised = false;  // coordinates are parts of the whole
    bool fractions = false;   // integers of 8 and 16 bits become numbers in [0, 1] or [-1, 1]
    bool srgb = false;
    float level_bias = 0;
    float least_level = 0;
    float most_level = 0;
    std::array<float, 4> border{};
};

/// A texture or a surface. Constant.
struct BoundImage {
    bool is_surface = false;
    bool is_linear = false;   // one row of any length in memory: what lies outside reads as zero
    bool is_foreign = false;  // memory that programs know by address and may have freed
    Channel channel = Channel::kF32;
    uint8_t channels = 1;
    std::vector<ImageLevel> levels;  // at least one
    Sampler sampler;
    std::shared_ptr<const void> memory;  // kept as long as somebody may read it

    [[nodiscard]] unsigned element() const { return bytes_of(channel) * channels; }
};

/// Textures and surfaces by their handles. A handle is never used again, so a destroyed one names
/// nothing. Thread-safe.
class ImageTable {
public:
    using Ref = std::shared_ptr<const BoundImage>;

    uint64_t add(Ref image);
    /// False when nothing has that handle.
    bool remove(uint64_t handle);
    /// Null when nothing has that handle.
    [[nodiscard]] Ref find(uint64_t handle) const;

private:
    // Handles are no addresses, and no small numbers either.
    static constexpr uint64_t kFirst = (uint64_t{1} << 52) + 1;

    mutable std::shared_mutex mutex_;
    uint64_t next_ = kFirst;
    std::unordered_map<uint64_t, Ref> images_;
};

}  // namespace cubar::softgpu::exec
