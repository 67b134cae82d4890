// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/texture_sample.h"

#include <algorithm>
#include <cmath>

#include "softgpu/exec/cube_map.h"

namespace cubar::softgpu::exec {
namespace {

// Weights have 9 bits of fixed point, 8 of them behind the point, so that 1 is among them.
constexpr float kWeightSteps = 256.0f;

float weight_of(float fraction) {
    return std::floor(fraction * kWeightSteps + 0.5f) / kWeightSteps;
}

/// What is no number leads to the first element.
int64_t index_of(float whole) {
    constexpr float kFar = 1e9f;
    if (std::isnan(whole)) return 0;
    return int64_t(std::clamp(whole, -kFar, kFar));
}

/// The index of an element, or nothing where the border is.
std::optional<uint32_t> bounded(int64_t index, uint32_t size, Addressing addressing) {
    const auto count = int64_t{size};
    if (index >= 0 && index < count) return uint32_t(index);
    switch (addressing) {
        case Addressing::kWrap:
            return uint32_t((index % count + count) % count);
        case Addressing::kBorder:
            return std::nullopt;
        default:
            // A mirrored coordinate leaves the image by half an element at most.
            return uint32_t(std::clamp<int64_t>(index, 0, count - 1));
    }
}

uint32_t size_of(const ImageLevel& level, unsigned axis) {
    return axis == 0 ? level.width : axis == 1 ? level.height : level.depth;
}

void add_part(Texel& sum, const Texel& part, float weight, unsigned channels) {
    for (unsigned channel = 0; channel < channels; ++channel) {
        sum.set(channel, sum.number(channel) + weight * part.number(channel));
    }
}

}  // namespace

Addressing TextureSampler::addressing(unsigned axis) const {
    if (form_.geometry.cube) return Addressing::kClamp;
    const Addressing wanted = image_.sampler.addressing[axis];
    // Repetition needs coordinates that say where a whole ends.
    const bool repeats = wanted == Addressing::kWrap || wanted == Addressing::kMirror;
    return repeats && (!image_.sampler.normalised || form_.integer_coordinates) ? Addressing::kClamp
                                                                                : wanted;
}

float TextureSampler::scaled(float coordinate, unsigned axis, uint32_t size) const {
    const Addressing how = addressing(axis);
    if (how == Addressing::kWrap) coordinate -= std::floor(coordinate);
    if (how == Addressing::kMirror) {
        const float whole = std::floor(coordinate);
        const float rest = coordinate - whole;
        coordinate = std::fmod(whole, 2.0f) == 0.0f ? rest : 1.0f - rest;
    }
    const bool normalised = image_.sampler.normalised || form_.geometry.cube;
    return normalised ? coordinate * float(size) : coordinate;
}

TextureSampler::Place TextureSampler::place(const TexturePoint& point) const {
    const ImageLevel& base = image_.levels.front();
    Place place;
    place.whole = form_.integer_coordinates;
    std::copy(point.index.begin(), point.index.end(), place.index.begin());
    place.at = point.at;
    const uint32_t group = form_.geometry.cube ? kCubeFaces : 1;
    if (form_.geometry.layered) {
        const uint32_t layers = std::max<uint32_t>(base.depth / group, 1);
        place.first_slice = std::min(point.layer, layers - 1) * group;
    }
    if (form_.geometry.cube) {
        const CubePoint on_face = cube_point(point.at);
        place.at = {on_face.s, on_face.t, 0};
        place.first_slice += on_face.face;
    }
    return place;
}

float TextureSampler::level_of(const TexturePoint& point) const {
    const Sampler& sampler = image_.sampler;
    float lod = point.lod;
    if (form_.level == ImageForm::Level::kGradient) {
        const ImageLevel& base = image_.levels.front();
        float longest = 0;
        for (const std::array<float, 3>& along : point.gradient) {
            const std::array<float, 3> moved =
                form_.geometry.cube ? cube_gradient(point.at, along) : along;
            const unsigned dimensions = form_.geometry.cube ? 2 : form_.geometry.dimensions;
            float square = 0;
            for (unsigned axis = 0; axis < dimensions; ++axis) {
                const bool normalised = sampler.normalised || form_.geometry.cube;
                const float step = moved[axis] * (normalised ? float(size_of(base, axis)) : 1.0f);
                square += step * step;
            }
            longest = std::fmax(longest, std::sqrt(square));
        }
        lod = std::log2(longest);
    }
    lod = std::fmin(std::fmax(lod + sampler.level_bias, sampler.least_level), sampler.most_level);
    return std::fmin(std::fmax(lod, 0.0f), float(image_.levels.size() - 1));
}

std::optional<Texel> TextureSampler::sample(const TexturePoint& point) const {
    const Place where = place(point);
    if (form_.level == ImageForm::Level::kBase || image_.levels.size() == 1) {
        return sample_level(image_.levels.front(), where);
    }
    const float lod = level_of(point);
    if (!image_.sampler.linear_between_levels) {
        return sample_level(image_.levels[size_t(std::floor(lod + 0.5f))], where);
    }
    const auto first = size_t(std::floor(lod));
    const float weight = weight_of(lod - std::floor(lod));
    const std::optional<Texel> near = sample_level(image_.levels[first], where);
    if (!near || weight == 0.0f) return near;
    const std::optional<Texel> far = sample_level(image_.levels[first + 1], where);
    if (!far) return far;
    Texel sum;
    add_part(sum, *near, 1.0f - weight, image_.channels);
    add_part(sum, *far, weight, image_.channels);
    return sum;
}

std::optional<Texel> TextureSampler::sample_level(const ImageLevel& level,
                                                  const Place& place) const {
    if (image_.sampler.linear && !place.whole) return mix(level, place);
    std::array<int64_t, 3> index{};
    for (unsigned axis = 0; axis < index.size(); ++axis) {
        index[axis] =
            place.whole ? place.index[axis]
                        : index_of(std::floor(scaled(place.at[axis], axis, size_of(level, axis))));
    }
    return fetch(level, index, place.first_slice);
}

std::optional<Texel> TextureSampler::mix(const ImageLevel& level, const Place& place) const {
    const unsigned dimensions = form_.geometry.cube ? 2 : form_.geometry.dimensions;
    std::array<int64_t, 3> first{};
    std::array<float, 3> weight{};
    for (unsigned axis = 0; axis < dimensions; ++axis) {
        const float middle = scaled(place.at[axis], axis, size_of(level, axis)) - 0.5f;
        const float whole = std::floor(middle);
        first[axis] = index_of(whole);
        weight[axis] = std::isfinite(middle) ? weight_of(middle - whole) : 0.0f;
    }
    Texel sum;
    for (unsigned corner = 0; corner < 1u << dimensions; ++corner) {
        std::array<int64_t, 3> index = first;
        float part = 1.0f;
        for (unsigned axis = 0; axis < dimensions; ++axis) {
            const bool next = (corner >> axis & 1) != 0;
            index[axis] += next ? 1 : 0;
            part *= next ? weight[axis] : 1.0f - weight[axis];
        }
        if (part == 0.0f) continue;
        const std::optional<Texel> texel = fetch(level, index, place.first_slice);
        if (!texel) return texel;
        add_part(sum, *texel, part, image_.channels);
    }
    return sum;
}

std::optional<Texel> TextureSampler::gather(const TexturePoint& point) const {
    const ImageLevel& level = image_.levels.front();
    const Place where = place(point);
    std::array<int64_t, 3> first{};
    for (unsigned axis = 0; axis < 2; ++axis) {
        first[axis] =
            index_of(std::floor(scaled(where.at[axis], axis, size_of(level, axis)) - 0.5f));
    }
    // Counter-clockwise from the lower left, with the second axis pointing down.
    constexpr std::array<std::array<int64_t, 2>, 4> kOrder{{{0, 1}, {1, 1}, {1, 0}, {0, 0}}};
    Texel result;
    for (unsigned which = 0; which < kOrder.size(); ++which) {
        const auto [right, down] = kOrder[which];
        const std::optional<Texel> texel =
            fetch(level, {first[0] + right, first[1] + down, 0}, where.first_slice);
        if (!texel) return texel;
        result.words[which] = texel->words[form_.component];
    }
    return result;
}

std::optional<Texel> TextureSampler::fetch(const ImageLevel& level, std::array<int64_t, 3> index,
                                           uint32_t first_slice) const {
    if (image_.is_linear && (index[0] < 0 || index[0] >= int64_t{level.width})) return Texel{};
    const unsigned dimensions = form_.geometry.cube ? 2 : form_.geometry.dimensions;
    std::array<uint32_t, 3> inside{};
    for (unsigned axis = 0; axis < dimensions; ++axis) {
        const std::optional<uint32_t> at =
            bounded(index[axis], size_of(level, axis), addressing(axis));
        if (!at) return border_texel(image_);
        inside[axis] = *at;
    }
    const char* const bytes =
        memory_.at(level, uint64_t{inside[0]} * image_.element(), inside[1],
                   std::min(first_slice + inside[2], level.depth - 1), image_.element());
    if (bytes == nullptr) return std::nullopt;
    return decode_texel(image_, bytes);
}

}  // namespace cubar::softgpu::exec
