// SPDX-License-Identifier: Apache-2.0
// The transformers whose decoding is measured: two of common sizes, and a tiny one that the
// software GPU and a reference on the host can follow.
#pragma once

#include <cstddef>
#include <string_view>

#ifdef __CUDACC__
#define CUBAR_EITHER_SIDE __host__ __device__
#else
#define CUBAR_EITHER_SIDE
#endif

namespace cubar::decode {

struct Shape {
    const char* name;
    int layers;
    int hidden;
    int heads;
    int kv_heads;
    int head_size;  ///< at most kMaxHeadSize
    int feed_forward;
    int vocabulary;
    int context;  ///< positions that the KV cache has room for

    CUBAR_EITHER_SIDE constexpr int query_rows() const { return heads * head_size; }
    CUBAR_EITHER_SIDE constexpr int kv_rows() const { return kv_heads * head_size; }
};

inline constexpr int kMaxHeadSize = 128;

inline constexpr Shape kShapes[] = {
    // Every loop over lanes or threads goes round more than once, and the last time not for all.
    {"tiny", 2, 264, 4, 2, 40, 48, 1028, 64},
    {"0.5B", 24, 896, 14, 2, 64, 4864, 151'936, 512},
    {"8B", 32, 4096, 32, 8, 128, 14'336, 128'256, 512},
};

constexpr const Shape* find_shape(std::string_view name) {
    for (const Shape& shape : kShapes) {
        if (name == shape.name) return &shape;
    }
    return nullptr;
}

/// What every sequence begins with. Shorter than any context, and in every vocabulary.
inline constexpr int kPrompt[] = {17, 4, 201, 96};

/// What one step is about, in device memory, so that a graph can be launched for any position.
struct Input {
    int token;
    int position;
};

}  // namespace cubar::decode
