// SPDX-License-Identifier: Apache-2.0
#include "transport/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace cubar::transport {

namespace {

long futex(const std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* limit, FutexScope scope) {
    const int saved = errno;
    const int flag = scope == FutexScope::kPrivate ? FUTEX_PRIVATE_FLAG : 0;
    const long result = syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(&word),
                                operation | flag, value, limit, nullptr, 0);
    errno = saved;
    return result;
}

}  // namespace

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::uint64_t limit_ns, FutexScope scope) {
    constexpr std::uint64_t kSecond = 1'000'000'000;
    const timespec limit{static_cast<time_t>(limit_ns / kSecond),
                         static_cast<long>(limit_ns % kSecond)};
    futex(word, FUTEX_WAIT, expected, limit_ns == ~std::uint64_t{0} ? nullptr : &limit, scope);
}

void futex_wake(const std::atomic<std::uint32_t>& word, int how_many, FutexScope scope) {
    futex(word, FUTEX_WAKE, static_cast<std::uint32_t>(how_many), nullptr, scope);
}

}  // namespace cubar::transport
