// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>

#include "host/worker/driver.h"

namespace cubar::host {

/// The guest knows in which mode its threads capture and forbids what CUDA forbids them; the
/// worker's threads, which serve all of them, must not be forbidden anything. Called by each thread
/// before its first record.
void relax_capture_mode(const Driver& driver);

/// Captures that were begun and have not ended. While there are any, a stream is looked at before
/// anything is put into it that the guest has not asked for.
class ActiveCaptures {
public:
    void began() { count_.fetch_add(1, std::memory_order_relaxed); }
    void ended() { count_.fetch_sub(1, std::memory_order_relaxed); }
    bool any() const { return count_.load(std::memory_order_relaxed) != 0; }

private:
    std::atomic<std::uint32_t> count_{0};
};

}  // namespace cubar::host
