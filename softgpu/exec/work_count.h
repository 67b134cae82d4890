// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cubar::softgpu::exec {

/// How much the interpreter does in how much of the processors' time, for measurements: counted
/// and, when the process ends, logged at level info where CUBAR_SOFTGPU_COUNT is 1.
class WorkCount {
public:
    [[nodiscard]] static bool enabled() { return enabled_; }
    static void add_instructions(uint64_t of_warps, uint64_t of_lanes);

    /// While it lives, this thread's time is the interpreter's.
    class Timer {
    public:
        Timer();
        ~Timer();
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;

    private:
        uint64_t begin_ = 0;
    };

private:
    static const bool enabled_;
};

}  // namespace cubar::softgpu::exec
