// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/cube_map.h"

#include <cmath>

namespace cubar::softgpu::exec {
namespace {

/// The programming guide's table of faces: m, s and t are the direction's coordinates, with signs.
struct Face {
    unsigned major;
    float major_sign;
    unsigned s;
    float s_sign;
    unsigned t;
    float t_sign;
};
constexpr unsigned kX = 0;
constexpr unsigned kY = 1;
constexpr unsigned kZ = 2;
constexpr std::array<Face, kCubeFaces> kFaces{{
    {kX, 1, kZ, -1, kY, -1},
    {kX, -1, kZ, 1, kY, -1},
    {kY, 1, kX, 1, kZ, 1},
    {kY, -1, kX, 1, kZ, -1},
    {kZ, 1, kX, 1, kY, -1},
    {kZ, -1, kX, -1, kY, -1},
}};

uint32_t face_of(const std::array<float, 3>& direction) {
    const float x = std::fabs(direction[kX]);
    const float y = std::fabs(direction[kY]);
    const float z = std::fabs(direction[kZ]);
    const unsigned major = x >= y && x >= z ? kX : y >= z ? kY : kZ;
    return major * 2 + (std::signbit(direction[major]) ? 1 : 0);
}

}  // namespace

CubePoint cube_point(const std::array<float, 3>& direction) {
    const uint32_t number = face_of(direction);
    const Face& face = kFaces[number];
    const float m = direction[face.major] * face.major_sign;
    return {number, (direction[face.s] * face.s_sign / m + 1.0f) / 2.0f,
            (direction[face.t] * face.t_sign / m + 1.0f) / 2.0f};
}

std::array<float, 3> cube_gradient(const std::array<float, 3>& direction,
                                   const std::array<float, 3>& along) {
    const Face& face = kFaces[face_of(direction)];
    const float m = direction[face.major] * face.major_sign;
    const float dm = along[face.major] * face.major_sign;
    const auto moved = [&](unsigned axis, float sign) {
        return (along[axis] * m - direction[axis] * dm) * sign / (m * m) / 2.0f;
    };
    return {moved(face.s, face.s_sign), moved(face.t, face.t_sign), 0};
}

}  // namespace cubar::softgpu::exec
