// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/array.h"

#include <algorithm>
#include <array>

#include "driver/array_format.h"
#include "softgpu/device/error.h"
#include "softgpu/device/texture_limits.h"

namespace cubar::softgpu::device {
namespace {

constexpr unsigned kFaces = 6;  // of a cube

// Flags that only say what the array is for, which makes no difference here.
constexpr unsigned kUses = CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_TEXTURE_GATHER |
                           CUDA_ARRAY3D_COLOR_ATTACHMENT | CUDA_ARRAY3D_DEPTH_TEXTURE;

void require_within(const CUDA_ARRAY3D_DESCRIPTOR& description,
                    const std::array<std::size_t, 3>& most) {
    require_value(description.Width <= most[0] && description.Height <= most[1] &&
                      description.Depth <= most[2],
                  "the array is larger than the device's largest");
}

void check_size(const CUDA_ARRAY3D_DESCRIPTOR& description) {
    const bool layered = (description.Flags & CUDA_ARRAY3D_LAYERED) != 0;
    const bool cube = (description.Flags & CUDA_ARRAY3D_CUBEMAP) != 0;
    require_value(description.Width != 0, "an array without width");
    if (cube) {
        require_value(description.Width == description.Height && description.Depth != 0 &&
                          description.Depth % kFaces == 0 &&
                          (layered || description.Depth == kFaces),
                      "not the size of cubes");
        require_within(description, {kTextureCube, kTextureCube,
                                     layered ? kTextureCubeLayers : std::size_t{kFaces}});
    } else if (layered) {
        require_value(description.Depth != 0, "no layers");
        require_within(description, {kTextureLayered, kTextureLayered, kTextureLayers});
    } else if (description.Depth != 0) {
        require_value(description.Height != 0, "a depth without a height");
        require_within(description, {kTexture3D, kTexture3D, kTexture3D});
    } else if (description.Height != 0) {
        if ((description.Flags & CUDA_ARRAY3D_TEXTURE_GATHER) != 0)
            require_within(description, {kTexture2DGather, kTexture2DGather, 0});
        require_within(description, {kTexture2DWidth, kTexture2DHeight, 0});
    } else {
        require_within(description, {kTexture1D, 0, 0});
    }
}

std::size_t element_bytes(const CUDA_ARRAY3D_DESCRIPTOR& description) {
    return std::size_t{driver::channel_bytes(description.Format)} * description.NumChannels;
}

std::size_t half(std::size_t size) {
    return size == 0 ? 0 : std::max<std::size_t>(size / 2, 1);
}

}  // namespace

ArrayMemory::ArrayMemory(Heap& heap, std::size_t size) : heap_(heap) {
    const auto base = heap.allocate(size);
    require(base.has_value(), CUDA_ERROR_OUT_OF_MEMORY, "device memory is exhausted");
    base_ = *base;
}

ArrayMemory::~ArrayMemory() {
    heap_.free(base_);
}

Array::Array(const CUDA_ARRAY3D_DESCRIPTOR& description, MemoryOwner owner,
             std::shared_ptr<const ArrayMemory> memory, std::size_t offset, bool is_level)
    : description_(description),
      owner_(owner),
      memory_(std::move(memory)),
      base_(memory_->base() + offset),
      is_level_(is_level) {}

void Array::check(const CUDA_ARRAY3D_DESCRIPTOR& description) {
    require(driver::channel_bytes(description.Format) != 0, CUDA_ERROR_NOT_SUPPORTED,
            "arrays have integers of 8, 16 and 32 bits, halves and floats");
    require_value(description.NumChannels == 1 || description.NumChannels == 2 ||
                      description.NumChannels == 4,
                  "an element has 1, 2 or 4 channels");
    require((description.Flags & ~(kUses | CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) == 0,
            CUDA_ERROR_NOT_SUPPORTED, "sparse arrays and mappings that come later are not there");
    check_size(description);
    require_value((description.Flags & CUDA_ARRAY3D_TEXTURE_GATHER) == 0 ||
                      (description.Height != 0 && description.Depth == 0),
                  "only what has two dimensions can be gathered");
}

ArrayRef Array::create(Heap& heap, MemoryOwner owner, const CUDA_ARRAY3D_DESCRIPTOR& description) {
    const std::size_t size = element_bytes(description) * description.Width *
                             std::max<std::size_t>(description.Height, 1) *
                             std::max<std::size_t>(description.Depth, 1);
    return std::make_shared<Array>(description, owner,
                                   std::make_shared<const ArrayMemory>(heap, size), 0, false);
}

std::size_t Array::element() const {
    return element_bytes(description_);
}

std::size_t Array::pitch() const {
    return description_.Width * element();
}

std::size_t Array::rows() const {
    return std::max<std::size_t>(description_.Height, 1);
}

std::size_t Array::slices() const {
    return std::max<std::size_t>(description_.Depth, 1);
}

MipmappedArrayRef MipmappedArray::create(Heap& heap, MemoryOwner owner,
                                         const CUDA_ARRAY3D_DESCRIPTOR& description,
                                         unsigned levels) {
    const bool layers = (description.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
    const std::size_t element = element_bytes(description);
    std::vector<CUDA_ARRAY3D_DESCRIPTOR> descriptions;
    std::vector<std::size_t> offsets;
    std::size_t size = 0;
    CUDA_ARRAY3D_DESCRIPTOR level = description;
    for (bool last = false; descriptions.size() < levels && !last;) {
        descriptions.push_back(level);
        offsets.push_back(size);
        size += round_up(element * level.Width * std::max<std::size_t>(level.Height, 1) *
                             std::max<std::size_t>(level.Depth, 1),
                         kSmallAlignment);
        last = level.Width <= 1 && level.Height <= 1 && (layers || level.Depth <= 1);
        level.Width = half(level.Width);
        level.Height = half(level.Height);
        if (!layers) level.Depth = half(level.Depth);
    }
    const auto memory = std::make_shared<const ArrayMemory>(heap, size);
    auto array = std::make_shared<MipmappedArray>();
    for (std::size_t index = 0; index < descriptions.size(); ++index)
        array->levels_.push_back(
            std::make_shared<Array>(descriptions[index], owner, memory, offsets[index], true));
    return array;
}

}  // namespace cubar::softgpu::device
