// SPDX-License-Identifier: Apache-2.0
// Texture fetching as the CUDA programming guide's appendix has it, in double precision, on the
// host: for one channel of an image of up to three dimensions.
#pragma once

#include <cmath>
#include <vector>

#include "conformance.h"

namespace conformance {

struct ReferenceTexture {
    int size[3] = {1, 1, 1};
    std::vector<double> texels;  // x fastest
    int dimensions = 2;
    cudaTextureAddressMode mode = cudaAddressModeClamp;
    bool linear = false;
    bool normalised = false;
    double border = 0;

    /// T[i, j, k] of the guide; what lies outside is found by the mode.
    double at(const long (&index)[3]) const {
        long inside[3] = {0, 0, 0};
        for (int axis = 0; axis < dimensions; ++axis) {
            const long n = size[axis];
            long i = index[axis];
            if (mode == cudaAddressModeBorder && (i < 0 || i >= n)) return border;
            if (mode == cudaAddressModeWrap && normalised) i = ((i % n) + n) % n;
            inside[axis] = i < 0 ? 0 : i >= n ? n - 1 : i;
        }
        return texels[static_cast<std::size_t>((inside[2] * size[1] + inside[1]) * size[0] +
                                               inside[0])];
    }

    /// A coordinate in elements.
    double scaled(double x, int axis) const {
        if (!normalised) return x;
        if (mode == cudaAddressModeWrap) x -= std::floor(x);
        if (mode == cudaAddressModeMirror) {
            const double whole = std::floor(x);
            x = std::fmod(std::fabs(whole), 2) == 0 ? x - whole : 1 - (x - whole);
        }
        return x * size[axis];
    }

    double fetch(const float (&coordinates)[3]) const {
        long first[3] = {0, 0, 0};
        double weight[3] = {0, 0, 0};
        for (int axis = 0; axis < dimensions; ++axis) {
            const double x = scaled(coordinates[axis], axis) - (linear ? 0.5 : 0);
            first[axis] = static_cast<long>(std::floor(x));
            // 9 bits, 8 of them behind the point.
            weight[axis] = linear ? std::floor((x - std::floor(x)) * 256 + 0.5) / 256 : 0;
        }
        double sum = 0;
        for (int corner = 0; corner < 1 << dimensions; ++corner) {
            long index[3] = {first[0], first[1], first[2]};
            double part = 1;
            for (int axis = 0; axis < dimensions; ++axis) {
                const int next = corner >> axis & 1;
                index[axis] += next;
                part *= next != 0 ? weight[axis] : 1 - weight[axis];
            }
            if (part != 0) sum += part * at(index);
        }
        return sum;
    }

    /// Whether rounding could decide which texel or which weight it is.
    bool is_delicate(const float (&coordinates)[3]) const {
        for (int axis = 0; axis < dimensions; ++axis) {
            const double x = scaled(coordinates[axis], axis) - (linear ? 0.5 : 0);
            const double steps = linear ? x * 256 + 0.5 : x;
            if (std::fabs(steps - std::round(steps)) < (linear ? 0.02 : 1e-4)) return true;
        }
        return false;
    }
};

}  // namespace conformance
