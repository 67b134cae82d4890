// SPDX-License-Identifier: Apache-2.0
// The only way in which cubar's libraries say anything: a line to where CUBAR_LOG points.
#pragma once

#include <atomic>
#include <cstdint>

namespace cubar::driver {

// Ordered: a threshold lets its own level and everything more severe through.
enum class LogLevel : std::uint8_t { kOff, kError, kWarn, kInfo, kDebug };

namespace log_detail {
// Above every level until the environment has been read, so that the first line takes the slow
// path.
inline constexpr std::uint8_t kUnread = 0xff;
// Published by read_environment() in log.cpp (release); the destination is read after an acquire.
extern std::atomic<std::uint8_t> threshold;
}  // namespace log_detail

// True if a line of this level would be written, as far as one relaxed load can tell.
inline bool log_enabled(LogLevel level) noexcept {
    return static_cast<std::uint8_t>(level) <=
           log_detail::threshold.load(std::memory_order_relaxed);
}

// Writes "time pid tid LEVEL text" with one write(2), cut at 1024 bytes; keeps errno. The
// environment (CUBAR_LOG: a path, opened for appending, `stderr`, or `fd:N`; CUBAR_LOG_LEVEL:
// error, warn, info or debug, warn if unset) is read once, at the first line. Safe from any thread
// and after fork; from a signal handler as far as vsnprintf is. Never allocates, never fails.
[[gnu::format(printf, 2, 3)]] void log_line(LogLevel level, const char* format, ...) noexcept;

// Makes the next line read the environment again. For tests and for programs that set it late.
void log_reread_environment() noexcept;

}  // namespace cubar::driver

// Costs one load where logging is off; the arguments are then not evaluated.
#define CUBAR_LOG(level, ...)                                                         \
    do {                                                                              \
        if (::cubar::driver::log_enabled(::cubar::driver::LogLevel::level)) {         \
            ::cubar::driver::log_line(::cubar::driver::LogLevel::level, __VA_ARGS__); \
        }                                                                             \
    } while (false)
