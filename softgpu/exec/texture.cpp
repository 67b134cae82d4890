// SPDX-License-Identifier: Apache-2.0
// tex, tld4, txq and suq. One lane after the other: where a lane reads depends on its coordinates,
// and nothing of it is the same for all.
#include <array>
#include <cstring>

#include "softgpu/exec/image_access.h"
#include "softgpu/exec/texture_sample.h"

namespace cubar::softgpu::exec {
namespace {

TexturePoint point_of(const Warp& warp, const ImageForm& form, unsigned lane) {
    const auto number = [&](Slot slot) { return lanes<float>(warp, slot)[lane]; };
    TexturePoint point;
    for (unsigned axis = 0; axis < form.geometry.dimensions; ++axis) {
        if (form.integer_coordinates) {
            point.index[axis] = lanes<int32_t>(warp, form.coordinates[axis])[lane];
        } else {
            point.at[axis] = number(form.coordinates[axis]);
        }
    }
    if (form.geometry.layered) point.layer = lanes<uint32_t>(warp, form.layer)[lane];
    if (form.level == ImageForm::Level::kGiven) {
        point.lod = form.integer_coordinates ? float(lanes<int32_t>(warp, form.lod)[lane])
                                             : number(form.lod);
    }
    if (form.level == ImageForm::Level::kGradient) {
        for (unsigned along = 0; along < 2; ++along) {
            for (unsigned axis = 0; axis < form.geometry.dimensions; ++axis) {
                point.gradient[along][axis] = number(form.gradient[along][axis]);
            }
        }
    }
    return point;
}

uint32_t answer(const BoundImage& image, ptx::Modifier query, uint32_t lod) {
    using ptx::Modifier;
    if (query == Modifier::kNumMipmapLevels) return uint32_t(image.levels.size());
    if (query == Modifier::kNormalizedCoords) return image.sampler.normalised ? 1 : 0;
    if (lod >= image.levels.size()) return 0;
    const ImageLevel& level = image.levels[lod];
    if (query == Modifier::kWidth) return level.width;
    if (query == Modifier::kHeight) return level.height;
    return level.depth;
}

}  // namespace

const Insn* read_texture(Warp& warp, const Insn* insn, uint32_t mask) {
    const ImageForm& form = *reinterpret_cast<const ImageForm*>(insn->imm);
    ImageLookup lookup(warp, insn, form, false);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        const BoundImage* const image = lookup.find(lane);
        if (image == nullptr) return nullptr;
        const ImageMemory memory(warp, insn, *image);
        const TextureSampler sampler(memory, form);
        const TexturePoint point = point_of(warp, form, lane);
        const std::optional<Texel> texel =
            form.opcode == ptx::Opcode::kTld4 ? sampler.gather(point) : sampler.sample(point);
        if (!texel) return nullptr;
        for (unsigned element = 0; element < form.count; ++element) {
            lanes<uint32_t>(warp, form.elements[element])[lane] = texel->words[element];
        }
    }
    // Whatever an image here has is in memory.
    if (form.tells_residency) *lanes<uint32_t>(warp, form.residency) |= mask;
    return insn + 1;
}

const Insn* query_image(Warp& warp, const Insn* insn, uint32_t mask) {
    const ImageForm& form = *reinterpret_cast<const ImageForm*>(insn->imm);
    ImageLookup lookup(warp, insn, form, form.opcode == ptx::Opcode::kSuq);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        const BoundImage* const image = lookup.find(lane);
        if (image == nullptr) return nullptr;
        const uint32_t lod =
            form.level == ImageForm::Level::kGiven ? lanes<uint32_t>(warp, form.lod)[lane] : 0;
        lanes<uint32_t>(warp, form.elements[0])[lane] = answer(*image, form.query, lod);
    }
    return insn + 1;
}

}  // namespace cubar::softgpu::exec
