// SPDX-License-Identifier: Apache-2.0
// What a transformer does between its matrix products, for one token. Everything is enqueued; every
// sum has a fixed order, so that the same input gives the same bits.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "shape.h"
#include "weights.h"

namespace cubar::decode {

/// Makes a tensor's random weights.
void fill(__half* out, std::size_t count, const Spread& spread, cudaStream_t stream);

/// out = the row of the table that the token names.
void embed(const Input* input, const __half* table, float* out, int hidden, cudaStream_t stream);

/// Root mean square norm.
void normalise(const float* in, const __half* weights, __half* out, int size, cudaStream_t stream);

/// Turns queries and keys by their position (RoPE, the two halves of a head as pairs), and puts
/// keys and values into the cache.
void rotate(const Input* input, const Shape& shape, float* query_key_value, __half* keys,
            __half* values, cudaStream_t stream);

/// Attention of the queries to all positions so far.
void attend(const Input* input, const Shape& shape, const float* queries, const __half* keys,
            const __half* values, __half* out, cudaStream_t stream);

/// out = silu(gate) * up.
void gate(const float* gate_up, __half* out, int size, cudaStream_t stream);

/// The index of the greatest logit; of equal ones the first.
void choose(const float* logits, int size, int* token, cudaStream_t stream);

/// Does nothing for so many nanoseconds; at once done with 0.
void hold(unsigned long long nanoseconds, cudaStream_t stream);

}  // namespace cubar::decode
