// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>

#include "test/instruction/case.h"

namespace cubar::instruction {

// Operands for `count` threads: pairs of edge values first, then edges and random bits mixed.
Rows make_inputs(const std::vector<Kind>& kinds, std::size_t count, std::mt19937_64& random);

}  // namespace cubar::instruction
