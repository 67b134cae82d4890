// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host/worker/session.h"

namespace cubar::host {

/// The attributes of a launch as the driver wants them, from how they cross: u32 id, u32 zero, 64
/// bytes of CUlaunchAttributeValue with handles in place of pointers.
class LaunchAttributes {
public:
    static constexpr std::size_t kMost = 16;
    static constexpr std::size_t kEntryBytes = 72;

    /// Reads `count` of them from the front of `payload`.
    CUresult read(Session& session, std::uint32_t count, std::span<const std::byte> payload);

    CUlaunchAttribute* data() { return attributes_.data(); }
    unsigned count() const { return count_; }
    std::size_t wire_bytes() const { return count_ * kEntryBytes; }

private:
    std::array<CUlaunchAttribute, kMost> attributes_{};
    unsigned count_ = 0;
};

}  // namespace cubar::host
