// SPDX-License-Identifier: Apache-2.0
// Unpacks fatbin entries. Links liblz4 and libzstd, so the guest library leaves it out.
#pragma once

#include <cstddef>
#include <vector>

#include "driver/image/fatbin.h"
#include "driver/image/result.h"

namespace cubar::driver::image {

// Larger entries are refused: a few bytes of a hostile fatbin could claim any size.
inline constexpr std::uint64_t kMaxEntrySize = std::uint64_t{1} << 30;

// The entry's image: a cubin, or PTX text without trailing null characters. Fails unless exactly
// entry.size bytes come out.
Result<std::vector<std::byte>> decompress(const FatbinEntry& entry) noexcept;

}  // namespace cubar::driver::image
