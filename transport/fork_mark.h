// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace cubar::transport {

/// Remembers the process that made it. A forked child finds its parent's marks invalid: they
/// compare with a word on a page that the kernel wipes in children (MADV_WIPEONFORK).
class ForkMark {
public:
    /// A mark that is valid nowhere.
    ForkMark() = default;
    /// A mark of this process.
    static ForkMark here();

    bool valid() const {
        return word_ != nullptr && word_->load(std::memory_order_relaxed) == generation_;
    }

private:
    const std::atomic<std::uint64_t>* word_ = nullptr;
    std::uint64_t generation_ = 0;
};

/// Has `descriptor` closed in children that fork() makes from now on, or no longer. For descriptors
/// that hold a lock: CLOEXEC alone leaves them open until the child's exec. False: too many.
bool close_in_children(int descriptor);
void keep_in_children(int descriptor);

}  // namespace cubar::transport
