// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace cubar::softgpu::exec {

inline constexpr uint32_t kCubeFaces = 6;

/// Where a direction meets a cube: a face and normalised coordinates in it.
struct CubePoint {
    uint32_t face = 0;
    float s = 0;
    float t = 0;
};

CubePoint cube_point(const std::array<float, 3>& direction);

/// How far the coordinates in the direction's face move when the direction moves by `along`.
std::array<float, 3> cube_gradient(const std::array<float, 3>& direction,
                                   const std::array<float, 3>& along);

}  // namespace cubar::softgpu::exec
