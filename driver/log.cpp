// SPDX-License-Identifier: Apache-2.0
#include "driver/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace cubar::driver {

namespace log_detail {
constinit std::atomic<std::uint8_t> threshold{kUnread};
}  // namespace log_detail

namespace {

constexpr std::size_t kMaxLine = 1024;
constexpr std::array kLevelNames{"OFF", "ERROR", "WARN", "INFO", "DEBUG"};

// The descriptor lives in a stranger's process, which may close every descriptor it does not know
// and get the number back for a file of its own. So each line checks that it is still our file.
struct Destination {
    std::atomic<int> descriptor{-1};
    /// Whoever set CUBAR_LOG named an open descriptor: it is neither checked nor closed.
    std::atomic<bool> borrowed{false};
    std::atomic<dev_t> device{0};
    std::atomic<ino_t> inode{0};

    bool intact(int fd) const noexcept {
        if (fd >= 0 && borrowed.load(std::memory_order_relaxed)) {
            return true;
        }
        struct stat now {};
        return fd >= 0 && fstat(fd, &now) == 0 &&
               now.st_dev == device.load(std::memory_order_relaxed) &&
               now.st_ino == inode.load(std::memory_order_relaxed);
    }
};
constinit Destination destination;

LogLevel level_from_environment() noexcept {
    const char* name = std::getenv("CUBAR_LOG_LEVEL");
    if (name != nullptr) {
        for (std::size_t level = 1; level < kLevelNames.size(); ++level) {
            if (strcasecmp(name, kLevelNames[level]) == 0) {
                return static_cast<LogLevel>(level);
            }
        }
    }
    return LogLevel::kWarn;
}

// The open descriptor that CUBAR_LOG names, or -1.
int named_descriptor(const char* path) noexcept {
    if (std::strcmp(path, "stderr") == 0) {
        return STDERR_FILENO;
    }
    if (std::strncmp(path, "fd:", 3) != 0) {
        return -1;
    }
    char* end = nullptr;
    const long number = std::strtol(path + 3, &end, 10);
    return end != path + 3 && *end == '\0' && number >= 0 && number <= INT_MAX
               ? static_cast<int>(number)
               : -1;
}

// Opens `path`; a set-user-id program must not be made to write where its caller likes.
int open_destination() noexcept {
    const char* path = secure_getenv("CUBAR_LOG");
    if (path == nullptr || *path == '\0') {
        return -1;
    }
    const int named = named_descriptor(path);
    destination.borrowed.store(named >= 0, std::memory_order_relaxed);
    if (named >= 0) {
        return named;
    }
    const int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    struct stat opened {};
    if (fd < 0 || fstat(fd, &opened) != 0) {
        return -1;
    }
    destination.device.store(opened.st_dev, std::memory_order_relaxed);
    destination.inode.store(opened.st_ino, std::memory_order_relaxed);
    return fd;
}

// Two threads that come here at once open the same file twice; the loser's descriptor is closed.
int reopen(int stale) noexcept {
    const int fd = open_destination();
    int expected = stale;
    if (!destination.descriptor.compare_exchange_strong(expected, fd, std::memory_order_acq_rel)) {
        if (fd >= 0 && !destination.borrowed.load(std::memory_order_relaxed)) {
            close(fd);
        }
        return expected;
    }
    return fd;
}

// The level and where to write, from the environment. Pairs with log_line()'s acquire load.
void read_environment() noexcept {
    const int stale = destination.descriptor.load(std::memory_order_acquire);
    const LogLevel level = reopen(stale) < 0 ? LogLevel::kOff : level_from_environment();
    log_detail::threshold.store(static_cast<std::uint8_t>(level), std::memory_order_release);
}

// gmtime_r takes a lock that a signal handler may have interrupted; this is arithmetic only
// (days from civil, Howard Hinnant's published method, reversed).
std::size_t format_time(char* out, std::size_t room) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const long long seconds = now.tv_sec % 86400;
    const long long days = now.tv_sec / 86400 + 719468;  // since 0000-03-01
    const long long era = days / 146097;
    const long long day_of_era = days % 146097;
    const long long year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const long long day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const long long month_from_march = (5 * day_of_year + 2) / 153;
    const long long day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const long long month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    const long long year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    const int length =
        std::snprintf(out, room, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld.%06ldZ", year, month,
                      day, seconds / 3600, seconds / 60 % 60, seconds % 60, now.tv_nsec / 1000);
    return length < 0 ? 0 : std::min(static_cast<std::size_t>(length), room - 1);
}

}  // namespace

void log_line(LogLevel level, const char* format, ...) noexcept {
    const int saved_errno = errno;
    if (log_detail::threshold.load(std::memory_order_acquire) == log_detail::kUnread) {
        read_environment();
    }
    if (!log_enabled(level)) {
        errno = saved_errno;
        return;
    }
    std::array<char, kMaxLine> line;
    std::size_t length = format_time(line.data(), line.size());
    const auto advance = [&](int written) {
        if (written > 0) {
            length = std::min(length + static_cast<std::size_t>(written), line.size() - 1);
        }
    };
    const auto level_index = std::min<std::size_t>(static_cast<std::size_t>(level), 4);
    advance(std::snprintf(line.data() + length, line.size() - length, " %d %d %s ", getpid(),
                          gettid(), kLevelNames[level_index]));
    va_list arguments;
    va_start(arguments, format);
    errno = saved_errno;  // for %m
    advance(std::vsnprintf(line.data() + length, line.size() - length, format, arguments));
    va_end(arguments);
    std::replace(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(length), '\n', ' ');
    line[length++] = '\n';

    int fd = destination.descriptor.load(std::memory_order_acquire);
    if (!destination.intact(fd)) {
        fd = reopen(fd);
    }
    if (fd >= 0) {
        // A line that cannot be written is lost: there is nobody to tell.
        [[maybe_unused]] const ssize_t written = write(fd, line.data(), length);
    }
    errno = saved_errno;
}

void log_reread_environment() noexcept {
    const int fd = destination.descriptor.exchange(-1, std::memory_order_acq_rel);
    if (!destination.borrowed.load(std::memory_order_relaxed) && destination.intact(fd)) {
        close(fd);
    }
    log_detail::threshold.store(log_detail::kUnread, std::memory_order_release);
}

}  // namespace cubar::driver
