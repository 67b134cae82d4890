// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace cubar::softgpu::device {

// The largest arrays, in elements or layers: what the CUDA programming guide's table of technical
// specifications says of compute capability 7.5 and later.
inline constexpr std::size_t kTexture1D = 131072;
inline constexpr std::size_t kTexture2DWidth = 131072;
inline constexpr std::size_t kTexture2DHeight = 65536;
inline constexpr std::size_t kTextureLayered = 32768;  // of one and of two dimensions
inline constexpr std::size_t kTextureLayers = 2048;
inline constexpr std::size_t kTexture3D = 16384;
inline constexpr std::size_t kTextureCube = 32768;
inline constexpr std::size_t kTextureCubeLayers = 2046;

}  // namespace cubar::softgpu::device
