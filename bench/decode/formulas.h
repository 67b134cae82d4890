// SPDX-License-Identifier: Apache-2.0
// Formulas that the device and the reference share.
#pragma once

#include <cmath>

#include "weights.h"

namespace cubar::decode {

inline constexpr float kNormEpsilon = 1e-5F;

/// By what angle a position turns the pair of a head of that size.
CUBAR_EITHER_SIDE inline float rotation(int position, int pair, int head_size) {
    constexpr float kBase = 10'000;
    const float exponent = -2.0F * static_cast<float>(pair) / static_cast<float>(head_size);
    return static_cast<float>(position) * std::pow(kBase, exponent);
}

}  // namespace cubar::decode
