// SPDX-License-Identifier: Apache-2.0
// The words that the GPU itself writes: how far each stream has come.
#pragma once

#include <cstdint>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/wait.h"

namespace cubar::transport {

/// For how long a fence is looked at before the host is asked, which then waits in the driver. A
/// round trip is no cheaper than looking, and on a busy machine a fence that is all but there takes
/// some sleeps to be seen: so this is several times what waking the host and this thread takes.
inline constexpr Nanoseconds kFencePatience = kMillisecond;

/// The guest's view of a channel's fences. A caller that goes on to read bulk memory does so with
/// bulk_read(), which begins with the barrier that a fence needs (kFenceBeforeBulkLoads).
class Fences {
public:
    Fences(const Shared<std::uint64_t>* words, const WaitContext& wait)
        : words_(words), wait_(wait) {}

    /// True once the stream that owns `fence` has completed what was enqueued up to `position`.
    /// kNoFence, or a number out of range: never.
    bool reached(std::uint32_t fence, Position position) const {
        return fence < kFences && words_[fence].load(std::memory_order_acquire) >= position;
    }

    /// Waits for it. The GPU wakes nobody, so this sleeps by growing intervals on every device.
    Error wait(std::uint32_t fence, Position position, Nanoseconds deadline = kNever) const;

private:
    const Shared<std::uint64_t>* words_;
    const WaitContext& wait_;
};

}  // namespace cubar::transport
