// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <optional>

namespace cubar::softgpu::device {

// The largest arrays, textures and surfaces, in elements or layers: what devices of compute
// capability 6.0 and later report.
inline constexpr std::size_t kTexture1D = 131072;
inline constexpr std::size_t kTexture1DLinear = std::size_t{1} << 27;  // memory as a texture
inline constexpr std::size_t kTexture1DMipmapped = 16384;
inline constexpr std::size_t kTexture2DWidth = 131072;
inline constexpr std::size_t kTexture2DHeight = 65536;
inline constexpr std::size_t kTexture2DLinearWidth = 131072;
inline constexpr std::size_t kTexture2DLinearHeight = 65000;
inline constexpr std::size_t kTexture2DLinearPitch = 2097120;  // bytes
inline constexpr std::size_t kTexture2DMipmapped = 32768;
inline constexpr std::size_t kTexture2DGather = 32768;
inline constexpr std::size_t kTexturePitchAlignment = 32;  // bytes
inline constexpr std::size_t kTextureLayered = 32768;      // of one and of two dimensions
inline constexpr std::size_t kTextureLayers = 2048;
inline constexpr std::size_t kTexture3D = 16384;
inline constexpr std::size_t kTextureCube = 32768;
inline constexpr std::size_t kTextureCubeLayers = 2046;
inline constexpr std::size_t kSurface1D = 32768;

/// What an attribute says of the above; none for other attributes.
std::optional<std::size_t> texture_limit(CUdevice_attribute attribute);

}  // namespace cubar::softgpu::device
