// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/work_count.h"

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "driver/log.h"

namespace cubar::softgpu::exec {
namespace {

struct Total {
    std::atomic<uint64_t> of_warps{0};
    std::atomic<uint64_t> of_lanes{0};
    std::atomic<uint64_t> nanoseconds{0};

    ~Total() {
        if (!WorkCount::enabled() || nanoseconds == 0) return;
        const double seconds = double(nanoseconds) * 1e-9;
        CUBAR_LOG(kInfo,
                  "%.3f G instructions of lanes, %.1f lanes each, in %.2f s of one core: %.2f G/s",
                  double(of_lanes) * 1e-9, double(of_lanes) / double(of_warps), seconds,
                  double(of_lanes) * 1e-9 / seconds);
    }
};

Total& total() {
    static Total all;
    return all;
}

uint64_t thread_time() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

bool asked_for() {
    const char* const value = std::getenv("CUBAR_SOFTGPU_COUNT");
    return value != nullptr && value == std::string_view("1");
}

}  // namespace

const bool WorkCount::enabled_ = asked_for();

void WorkCount::add_instructions(uint64_t of_warps, uint64_t of_lanes) {
    total().of_warps.fetch_add(of_warps, std::memory_order_relaxed);
    total().of_lanes.fetch_add(of_lanes, std::memory_order_relaxed);
}

WorkCount::Timer::Timer() : begin_(enabled() ? thread_time() : 0) {}

WorkCount::Timer::~Timer() {
    if (enabled()) {
        total().nanoseconds.fetch_add(thread_time() - begin_, std::memory_order_relaxed);
    }
}

}  // namespace cubar::softgpu::exec
