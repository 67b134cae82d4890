// SPDX-License-Identifier: Apache-2.0
#include "driver/image/decompress.h"

#include <lz4.h>
#include <zstd.h>

#include <limits>
#include <new>
#include <optional>
#include <utility>

namespace cubar::driver::image {
namespace {

// Returns how many bytes came out, or nothing. Neither library writes beyond the room.
std::optional<std::size_t> unpack(const FatbinEntry& entry, std::vector<std::byte>& out) noexcept {
    if (entry.compression == Compression::kZstd) {
        const std::size_t made =
            ZSTD_decompress(out.data(), out.size(), entry.stored.data(), entry.stored.size());
        return ZSTD_isError(made) ? std::nullopt : std::optional(made);
    }
    if (entry.stored.size() > std::numeric_limits<int>::max()) {
        return std::nullopt;
    }
    const int made = LZ4_decompress_safe(
        reinterpret_cast<const char*>(entry.stored.data()), reinterpret_cast<char*>(out.data()),
        static_cast<int>(entry.stored.size()), static_cast<int>(out.size()));
    return made < 0 ? std::nullopt : std::optional(static_cast<std::size_t>(made));
}

std::vector<std::byte> without_trailing_nulls(std::vector<std::byte> text) noexcept {
    while (!text.empty() && text.back() == std::byte{0}) {
        text.pop_back();
    }
    return text;
}

}  // namespace

Result<std::vector<std::byte>> decompress(const FatbinEntry& entry) noexcept try {
    if (entry.compression == Compression::kNone) {
        return std::vector<std::byte>(entry.stored.begin(), entry.stored.end());
    }
    if (entry.size > kMaxEntrySize) {
        return Failure{"fatbin: an entry larger than 1 GiB"};
    }
    std::vector<std::byte> out(static_cast<std::size_t>(entry.size));
    if (unpack(entry, out) != entry.size) {
        return Failure{"fatbin: an entry that does not decompress"};
    }
    return entry.is(EntryKind::kPtx) ? without_trailing_nulls(std::move(out)) : std::move(out);
} catch (const std::bad_alloc&) {
    return Failure{"fatbin: no memory to decompress an entry"};
}

}  // namespace cubar::driver::image
