// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "libcuda/call.h"

namespace cubar::guest {

/// Bulk memory that this process and its worker share, allocated within leased granules; more are
/// leased as needed.
class ArenaBlock {
public:
    ArenaBlock() = default;
    ArenaBlock(Session& session, std::uint64_t offset, std::size_t bytes)
        : session_(&session), offset_(offset), bytes_(bytes) {}
    ArenaBlock(ArenaBlock&& other) noexcept
        : session_(std::exchange(other.session_, nullptr)),
          offset_(other.offset_),
          bytes_(other.bytes_) {}
    ArenaBlock& operator=(ArenaBlock&&) = delete;
    ~ArenaBlock();

    /// An empty block: the arena is exhausted (which is logged).
    static ArenaBlock allocate(const Caller& caller, std::size_t bytes);

    explicit operator bool() const { return session_ != nullptr; }
    std::uint64_t offset() const { return offset_; }
    std::size_t bytes() const { return bytes_; }
    std::byte* data() const { return session_->channel().arena_base() + offset_; }
    /// Leaves the memory allocated; whoever keeps the offset frees it.
    std::uint64_t release() {
        session_ = nullptr;
        return offset_;
    }

private:
    Session* session_ = nullptr;
    std::uint64_t offset_ = 0;
    std::size_t bytes_ = 0;
};

/// Asks the host for granules that hold `bytes`. False: there are none left, or the session is
/// over.
bool lease_granules(const Caller& caller, std::size_t bytes);

/// Returns granules that nothing is allocated in, so that other processes of the VM can have them.
void return_free_granules(const Caller& caller);

}  // namespace cubar::guest
