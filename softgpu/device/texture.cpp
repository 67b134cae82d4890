// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/texture.h"

#include <algorithm>

#include "softgpu/device/error.h"
#include "softgpu/device/texture_limits.h"
#include "softgpu/device/texture_view.h"

namespace cubar::softgpu::device {
namespace {

using exec::Addressing;
using exec::BoundImage;
using exec::Channel;
using exec::ImageLevel;

Channel channel_of(CUarray_format format) {
    switch (format) {
        case CU_AD_FORMAT_UNSIGNED_INT8:
            return Channel::kU8;
        case CU_AD_FORMAT_SIGNED_INT8:
            return Channel::kS8;
        case CU_AD_FORMAT_UNSIGNED_INT16:
            return Channel::kU16;
        case CU_AD_FORMAT_SIGNED_INT16:
            return Channel::kS16;
        case CU_AD_FORMAT_UNSIGNED_INT32:
            return Channel::kU32;
        case CU_AD_FORMAT_SIGNED_INT32:
            return Channel::kS32;
        case CU_AD_FORMAT_HALF:
            return Channel::kF16;
        case CU_AD_FORMAT_FLOAT:
            return Channel::kF32;
        default:
            throw Error(CUDA_ERROR_NOT_SUPPORTED,
                        "textures have integers of 8, 16 and 32 bits, halves and floats");
    }
}

bool is_integer(Channel channel) {
    return channel != Channel::kF16 && channel != Channel::kF32;
}

void set_format(BoundImage& image, CUarray_format format, unsigned channels) {
    require_value(channels == 1 || channels == 2 || channels == 4,
                  "an element has 1, 2 or 4 channels");
    image.channel = channel_of(format);
    image.channels = static_cast<std::uint8_t>(channels);
}

ImageLevel level_of(const Array& array) {
    return {array.base(),
            static_cast<std::uint32_t>(array.description().Width),
            static_cast<std::uint32_t>(array.rows()),
            static_cast<std::uint32_t>(array.slices()),
            array.pitch(),
            array.pitch() * array.rows()};
}

void bind_array(BoundImage& image, const ArrayRef& array) {
    set_format(image, array->description().Format, array->description().NumChannels);
    image.levels = {level_of(*array)};
    image.memory = array;
}

void bind_mipmapped(BoundImage& image, const MipmappedArrayRef& array) {
    bind_array(image, array->levels().front());
    image.levels.clear();
    for (const ArrayRef& level : array->levels()) image.levels.push_back(level_of(*level));
}

void require_memory(const Memory& memory, Address base, std::size_t bytes) {
    require_value(base % kSmallAlignment == 0, "the memory is not aligned for textures");
    require_value(memory.find(base) != nullptr && memory.holds(base, bytes),
                  "not memory of the device");
}

void bind_linear(const Memory& memory, BoundImage& image, const CUDA_RESOURCE_DESC& description) {
    const auto& linear = description.res.linear;
    set_format(image, linear.format, linear.numChannels);
    const std::size_t elements = linear.sizeInBytes / image.element();
    require_value(elements != 0 && elements <= kTexture1DLinear, "so many elements");
    require_memory(memory, linear.devPtr, linear.sizeInBytes);
    image.is_linear = image.is_foreign = true;
    image.levels = {{linear.devPtr, static_cast<std::uint32_t>(elements), 1, 1, linear.sizeInBytes,
                     linear.sizeInBytes}};
}

void bind_rows(const Memory& memory, BoundImage& image, const CUDA_RESOURCE_DESC& description) {
    const auto& rows = description.res.pitch2D;
    set_format(image, rows.format, rows.numChannels);
    require_value(rows.width != 0 && rows.width <= kTexture2DLinearWidth && rows.height != 0 &&
                      rows.height <= kTexture2DLinearHeight,
                  "not a size of textures");
    require_value(rows.pitchInBytes % kTexturePitchAlignment == 0 &&
                      rows.pitchInBytes <= kTexture2DLinearPitch &&
                      rows.pitchInBytes >= rows.width * image.element(),
                  "not a pitch of textures");
    require_memory(memory, rows.devPtr,
                   rows.pitchInBytes * (rows.height - 1) + rows.width * image.element());
    image.is_foreign = true;
    image.levels = {{rows.devPtr, static_cast<std::uint32_t>(rows.width),
                     static_cast<std::uint32_t>(rows.height), 1, rows.pitchInBytes,
                     rows.pitchInBytes * rows.height}};
}

Addressing addressing_of(CUaddress_mode mode) {
    switch (mode) {
        case CU_TR_ADDRESS_MODE_WRAP:
            return Addressing::kWrap;
        case CU_TR_ADDRESS_MODE_CLAMP:
            return Addressing::kClamp;
        case CU_TR_ADDRESS_MODE_MIRROR:
            return Addressing::kMirror;
        case CU_TR_ADDRESS_MODE_BORDER:
            return Addressing::kBorder;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such address mode");
    }
}

bool is_linear_mode(CUfilter_mode mode) {
    require_value(mode == CU_TR_FILTER_MODE_POINT || mode == CU_TR_FILTER_MODE_LINEAR,
                  "no such filter mode");
    return mode == CU_TR_FILTER_MODE_LINEAR;
}

/// Without the fractions, which depend on the channels.
exec::Sampler sampler_of(const CUDA_TEXTURE_DESC& texture) {
    exec::Sampler sampler;
    for (unsigned axis = 0; axis < sampler.addressing.size(); ++axis)
        sampler.addressing[axis] = addressing_of(texture.addressMode[axis]);
    sampler.linear = is_linear_mode(texture.filterMode);
    sampler.linear_between_levels = is_linear_mode(texture.mipmapFilterMode);
    sampler.normalised = (texture.flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
    sampler.srgb = (texture.flags & CU_TRSF_SRGB) != 0;
    sampler.level_bias = texture.mipmapLevelBias;
    sampler.least_level = texture.minMipmapLevelClamp;
    sampler.most_level = texture.maxMipmapLevelClamp;
    std::copy(std::begin(texture.borderColor), std::end(texture.borderColor),
              sampler.border.begin());
    return sampler;
}

void check_flags(const CUDA_TEXTURE_DESC& texture, const ImageResource& resource) {
    constexpr unsigned kKnown = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES |
                                CU_TRSF_SRGB | CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION |
                                CU_TRSF_SEAMLESS_CUBEMAP;
    require_value((texture.flags & ~kKnown) == 0, "unknown flags");
    require(texture.maxAnisotropy <= 1, CUDA_ERROR_NOT_SUPPORTED,
            "textures are not filtered anisotropically");
    if ((texture.flags & CU_TRSF_SEAMLESS_CUBEMAP) == 0) return;
    const ArrayRef array =
        resource.mipmapped != nullptr ? resource.mipmapped->levels().front() : resource.array;
    require_value(array != nullptr && (array->description().Flags & CUDA_ARRAY3D_CUBEMAP) != 0,
                  "not a cube");
    require(texture.filterMode == CU_TR_FILTER_MODE_POINT, CUDA_ERROR_NOT_SUPPORTED,
            "cubes are not filtered across their edges");
}

/// The sampler and the channels have to go together.
void check_sampler(const BoundImage& image) {
    const exec::Sampler& sampler = image.sampler;
    const bool numbers = !is_integer(image.channel) || sampler.fractions;
    require_value(numbers || !(sampler.linear || sampler.linear_between_levels),
                  "integers are not filtered");
    require_value(!sampler.srgb || (image.channel == Channel::kU8 && sampler.fractions),
                  "sRGB has 8 bits that are read as numbers");
}

}  // namespace

exec::ImageTable::Ref bind_texture(const Memory& memory, const ImageResource& resource,
                                   const CUDA_TEXTURE_DESC& texture,
                                   const CUDA_RESOURCE_VIEW_DESC* view) {
    const CUDA_RESOURCE_DESC& description = resource.description;
    require_value(description.flags == 0, "flags of resources");
    auto image = std::make_shared<BoundImage>();
    image->sampler = sampler_of(texture);
    check_flags(texture, resource);
    if (resource.array != nullptr) {
        bind_array(*image, resource.array);
    } else if (resource.mipmapped != nullptr) {
        require_value(image->sampler.normalised, "levels need normalised coordinates");
        bind_mipmapped(*image, resource.mipmapped);
    } else if (description.resType == CU_RESOURCE_TYPE_LINEAR) {
        bind_linear(memory, *image, description);
        image->sampler.addressing.fill(Addressing::kClamp);
        image->sampler.linear = false;
    } else {
        bind_rows(memory, *image, description);
    }
    if (view != nullptr) {
        const ArrayRef base =
            resource.mipmapped != nullptr ? resource.mipmapped->levels().front() : resource.array;
        require_value(base != nullptr, "only arrays have views");
        apply_view(*image, base->description(), *view);
    }
    const bool narrow = bytes_of(image->channel) < 4;
    image->sampler.fractions =
        is_integer(image->channel) && narrow && (texture.flags & CU_TRSF_READ_AS_INTEGER) == 0;
    check_sampler(*image);
    return image;
}

exec::ImageTable::Ref bind_surface(const ImageResource& resource) {
    require_value(resource.description.flags == 0, "flags of resources");
    require_value(resource.array != nullptr, "a surface needs an array");
    require_value((resource.array->description().Flags & CUDA_ARRAY3D_SURFACE_LDST) != 0,
                  "the array was made without CUDA_ARRAY3D_SURFACE_LDST");
    auto image = std::make_shared<BoundImage>();
    image->is_surface = true;
    bind_array(*image, resource.array);
    return image;
}

}  // namespace cubar::softgpu::device
