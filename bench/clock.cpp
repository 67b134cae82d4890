// SPDX-License-Identifier: Apache-2.0
#include "bench/clock.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

namespace cubar::bench {
namespace {

std::uint64_t monotonic() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    std::vector<int> cpus;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
    return cpus;
}

void stay_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

Clock::Clock() {
    constexpr std::uint64_t kCalibration = 20'000'000;
    const std::uint64_t began = monotonic();
    const std::uint64_t first = ticks();
    std::uint64_t now = began;
    while ((now = monotonic()) - began < kCalibration) {
    }
    per_tick_ = static_cast<double>(now - began) / static_cast<double>(ticks() - first);
    Samples empty;
    for (int i = 0; i < 1001; ++i) {
        const std::uint64_t start = ticks();
        empty.add(nanoseconds(ticks() - start));
    }
    overhead_ = empty.quantile(0.5);
}

double Samples::quantile(double part) {
    if (values_.empty()) return std::numeric_limits<double>::quiet_NaN();
    const auto rank =
        static_cast<std::size_t>(std::lround(part * static_cast<double>(values_.size() - 1)));
    std::nth_element(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(rank),
                     values_.end());
    return values_[rank];
}

double line_transfer(const Clock& clock) {
    const std::vector<int> cpus = allowed_cpus();
    if (cpus.size() < 2) return 0;
    constexpr unsigned kTurns = 2000;
    alignas(64) std::atomic<unsigned> turn{0};
    std::thread other([&] {
        stay_on(cpus[1]);
        for (unsigned mine = 1; mine < 2 * kTurns; mine += 2) {
            while (turn.load(std::memory_order_acquire) != mine) __builtin_ia32_pause();
            turn.store(mine + 1, std::memory_order_release);
        }
    });
    double taken = 0;
    std::thread here([&] {
        stay_on(cpus[0]);
        taken = clock.time([&] {
            for (unsigned mine = 0; mine < 2 * kTurns; mine += 2) {
                while (turn.load(std::memory_order_acquire) != mine) __builtin_ia32_pause();
                turn.store(mine + 1, std::memory_order_release);
            }
        });
    });
    here.join();
    other.join();
    return taken / (2 * kTurns);
}

}  // namespace cubar::bench
