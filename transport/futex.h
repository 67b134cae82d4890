// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace cubar::transport {

/// Whether a futex word is seen by one process or lies in memory that several share.
enum class FutexScope : std::uint8_t { kPrivate, kShared };

/// Sleeps while *word == expected, at most `limit_ns` (all ones: without end). Wakes spuriously
/// too.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::uint64_t limit_ns, FutexScope scope);
void futex_wake(const std::atomic<std::uint32_t>& word, int how_many, FutexScope scope);

}  // namespace cubar::transport
