// SPDX-License-Identifier: Apache-2.0
// Checked access to bytes that came from outside. Little-endian, unaligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace cubar::driver::image {

using Bytes = std::span<const std::byte>;

// The part of `bytes` at `offset`, or nothing if it is not wholly inside.
inline std::optional<Bytes> part(Bytes bytes, std::uint64_t offset, std::uint64_t size) noexcept {
    if (offset > bytes.size() || size > bytes.size() - offset) {
        return std::nullopt;
    }
    return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

// The T at `offset`, or nothing if it is not wholly inside.
template <typename T>
requires std::is_trivially_copyable_v<T> std::optional<T> load(Bytes bytes, std::uint64_t offset)
noexcept {
    const auto source = part(bytes, offset, sizeof(T));
    if (!source) {
        return std::nullopt;
    }
    T value;
    std::memcpy(&value, source->data(), sizeof value);
    return value;
}

// a + b, or nothing if that is more than 64 bits.
inline std::optional<std::uint64_t> sum(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) {
        return std::nullopt;
    }
    return result;
}

// a + b * c, or nothing if that is more than 64 bits.
inline std::optional<std::uint64_t> sum_product(std::uint64_t a, std::uint64_t b,
                                                std::uint64_t c) noexcept {
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(b, c, &product)) {
        return std::nullopt;
    }
    return sum(a, product);
}

}  // namespace cubar::driver::image
