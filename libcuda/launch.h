// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "libcuda/objects.h"

namespace cubar::guest {

/// Launch attributes as they cross: u32 id, u32 zero, 64 bytes of value with handles for objects.
class LaunchAttributes {
public:
    static constexpr std::size_t kMost = 16;  ///< CUDA knows fewer; repeating one makes no sense
    static constexpr std::size_t kEntryBytes = 72;

    /// CUDA_ERROR_NOT_SUPPORTED for what cannot cross, INVALID_VALUE for what CUDA does not know.
    CUresult encode(const EventTable& events, const CUlaunchConfig& config);

    /// CUDA's synchronous errors of clusters that do not fit the grid, the kernel or the device.
    CUresult check_cluster(const DeviceFacts& device, const KernelFacts& kernel,
                           const std::uint32_t (&grid)[3]) const;
    /// All blocks of the grid must be resident at once.
    bool cooperative() const { return cooperative_; }
    std::uint32_t count() const { return count_; }
    std::span<const std::byte> bytes() const {
        return std::span(entries_).first(count_ * kEntryBytes);
    }

private:
    void add(CUlaunchAttributeID id, const void* value, std::size_t bytes);

    std::array<std::byte, kMost * kEntryBytes> entries_{};
    std::uint32_t count_ = 0;
    bool cooperative_ = false;
    std::array<std::uint32_t, 3> cluster_{};  // zeros: not asked for
};

/// The parameter block of a launch that is not made now.
CUresult gather_parameters(const KernelFacts& kernel, void** each, void** extra,
                           std::vector<std::byte>& block);

}  // namespace cubar::guest
