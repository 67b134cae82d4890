// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace cubar::bench {

/// The processor's time-stamp counter, in nanoseconds: calls that take 60 ns cannot be timed by a
/// clock that takes 25.
class Clock {
public:
    /// Calibrates against CLOCK_MONOTONIC, which takes 20 ms.
    Clock();
    /// Neither what came before nor what comes after overlaps with reading it.
    std::uint64_t ticks() const {
        __builtin_ia32_lfence();
        const std::uint64_t now = __builtin_ia32_rdtsc();
        __builtin_ia32_lfence();
        return now;
    }
    double nanoseconds(std::uint64_t ticks) const { return static_cast<double>(ticks) * per_tick_; }
    /// What an empty measurement shows; already taken off by time().
    double overhead() const { return overhead_; }

    /// Nanoseconds that `call` took.
    template <typename Call>
    double time(Call&& call) const {
        const std::uint64_t start = ticks();
        call();
        const double taken = nanoseconds(ticks() - start) - overhead_;
        return taken > 0 ? taken : 0;
    }

private:
    double per_tick_ = 0;
    double overhead_ = 0;
};

/// Samples of one figure.
class Samples {
public:
    void add(double value) { values_.push_back(value); }
    /// Of 0.5 the median. NaN without samples.
    double quantile(double part);

private:
    std::vector<double> values_;
};

/// Nanoseconds in which a cache line goes from one core to the other, or half a way and back: the
/// yardstick for everything that crosses. 0 with fewer than two cores.
double line_transfer(const Clock& clock);

}  // namespace cubar::bench
