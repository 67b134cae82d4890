// SPDX-License-Identifier: Apache-2.0
// The same model on the host, plainly: what the GPU's tokens are held against.
#pragma once

#include <vector>

#include "shape.h"

namespace cubar::decode {

struct ReferenceRun {
    std::vector<int> tokens;
    std::vector<std::vector<float>> logits;  ///< what each token was chosen from
};

/// Greedy decoding from kPrompt. It rounds to f16 where the GPU does, and sums in double precision.
ReferenceRun reference(const Shape& shape, int tokens);

}  // namespace cubar::decode
