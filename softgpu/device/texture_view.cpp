// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/texture_view.h"

#include <algorithm>
#include <array>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

using exec::BoundImage;
using exec::Channel;
using exec::ImageLevel;

/// Formats come in threes: 1, 2 and 4 channels of one kind.
constexpr std::array<Channel, 8> kKinds{Channel::kU8,  Channel::kS8,  Channel::kU16, Channel::kS16,
                                        Channel::kU32, Channel::kS32, Channel::kF16, Channel::kF32};

void apply_format(BoundImage& image, CUresourceViewFormat format) {
    if (format == CU_RES_VIEW_FORMAT_NONE) return;
    require(format <= CU_RES_VIEW_FORMAT_FLOAT_4X32, CUDA_ERROR_NOT_SUPPORTED,
            "compressed formats are not there");
    const auto number = static_cast<unsigned>(format) - 1;
    const unsigned element = image.element();
    image.channel = kKinds[number / 3];
    image.channels = static_cast<std::uint8_t>(1u << number % 3);
    require_value(image.element() == element, "the view's elements have another size");
}

}  // namespace

void apply_view(BoundImage& image, const CUDA_ARRAY3D_DESCRIPTOR& array,
                const CUDA_RESOURCE_VIEW_DESC& view) {
    apply_format(image, view.format);
    require_value(
        view.width == array.Width && view.height == array.Height && view.depth == array.Depth,
        "the view has another size");
    require_value(
        view.firstMipmapLevel <= view.lastMipmapLevel && view.lastMipmapLevel < image.levels.size(),
        "no such levels");
    image.levels = {image.levels.begin() + view.firstMipmapLevel,
                    image.levels.begin() + view.lastMipmapLevel + 1};
    const bool layered = (array.Flags & CUDA_ARRAY3D_LAYERED) != 0;
    const std::size_t layers = layered ? array.Depth : 1;
    require_value(view.firstLayer <= view.lastLayer && view.lastLayer < layers, "no such layers");
    if (!layered) return;
    for (ImageLevel& level : image.levels) {
        level.base += view.firstLayer * level.slice;
        level.depth = view.lastLayer - view.firstLayer + 1;
    }
}

}  // namespace cubar::softgpu::device
