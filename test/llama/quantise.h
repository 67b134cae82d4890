// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace llama {

/// The numbers are those of GGUF.
enum class Type : uint32_t { F32 = 0, F16 = 1, Q4_0 = 2, Q8_0 = 8, Q4_K = 12, Q6_K = 14 };

/// How many values a row must be a multiple of.
size_t block_values(Type type);

/// How many bytes so many values take; they are a multiple of block_values().
size_t stored_bytes(Type type, size_t values);

/// Appends `values`, which are a multiple of block_values(type), to `out` as GGUF stores them.
void quantise(Type type, std::span<const float> values, std::vector<uint8_t>& out);

}  // namespace llama
