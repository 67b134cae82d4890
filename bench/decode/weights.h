// SPDX-License-Identifier: Apache-2.0
// Random weights by a hash of their place: host and device make the same ones, and nothing is read
// or sent.
#pragma once

#include <cmath>
#include <cstdint>

#include "shape.h"

namespace cubar::decode {

enum class Part {
    kEmbedding,
    kAttentionNorm,
    kQueryKeyValue,  ///< the rows of the queries, then of the keys, then of the values
    kAttentionOut,
    kFeedForwardNorm,
    kGateUp,  ///< the rows of the gate, then of what is gated
    kDown,
    kFinalNorm,
    kOutput,
};

struct Extent {
    int rows;
    int columns;
    constexpr std::size_t elements() const {
        return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
    }
};

constexpr Extent extent(const Shape& shape, Part part) {
    switch (part) {
        case Part::kEmbedding:
        case Part::kOutput:
            return {shape.vocabulary, shape.hidden};
        case Part::kQueryKeyValue:
            return {shape.query_rows() + 2 * shape.kv_rows(), shape.hidden};
        case Part::kAttentionOut:
            return {shape.hidden, shape.query_rows()};
        case Part::kGateUp:
            return {2 * shape.feed_forward, shape.hidden};
        case Part::kDown:
            return {shape.hidden, shape.feed_forward};
        case Part::kAttentionNorm:
        case Part::kFeedForwardNorm:
        case Part::kFinalNorm:
            break;
    }
    return {1, shape.hidden};
}

/// How the elements of one tensor are distributed.
struct Spread {
    std::uint64_t seed;
    float offset;
    float scale;
};

inline Spread spread(const Shape& shape, Part part, int layer) {
    const std::uint64_t seed =
        (static_cast<std::uint64_t>(layer) * 16 + static_cast<std::uint64_t>(part)) << 36;
    switch (part) {
        case Part::kAttentionNorm:
        case Part::kFeedForwardNorm:
        case Part::kFinalNorm:
            return {seed, 1, 0.25F};
        case Part::kEmbedding:
            return {seed, 0, 1};
        default:
            // What goes in with variance 1 comes out with variance 1.
            const int columns = extent(shape, part).columns;
            return {seed, 0, std::sqrt(3.0F / static_cast<float>(columns))};
    }
}

/// One weight, before it is rounded to f16.
CUBAR_EITHER_SIDE inline float weight(const Spread& spread, std::uint64_t element) {
    std::uint64_t bits = spread.seed + element + 1;
    bits = (bits ^ (bits >> 30)) * 0xbf58'476d'1ce4'e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d0'49bb'1331'11eb;
    bits ^= bits >> 31;
    // 24 bits, so that the product is the only thing that rounds: no contraction changes it.
    const float uniform = static_cast<float>(bits >> 40) * 0x1p-23F - 1.0F;
    return spread.offset + spread.scale * uniform;
}

}  // namespace cubar::decode
