// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/exec/bound_image.h"
#include "softgpu/exec/condition.h"

namespace cubar::softgpu::exec {

/// The global addresses that a kernel may touch: device allocations, registered and pinned host
/// memory, module variables. Addresses are plain addresses of this process. Ranges never overlap;
/// neighbours stay apart, so an access that spans two allocations is illegal, as on hardware where
/// they are not contiguous. Thread-safe: writers publish a new immutable snapshot.
class MemoryMap {
public:
    struct Range {
        uint64_t begin;
        uint64_t end;  // one past the last byte
    };
    using Snapshot = std::shared_ptr<const std::vector<Range>>;

    MemoryMap();

    /// False when the range is empty, wraps around, or overlaps one that is there.
    [[nodiscard]] bool add(uint64_t address, uint64_t size);
    /// Removes the range that begins at `address`; false when there is none. The caller frees the
    /// memory only after the grids that may still read it have ended, as cuMemFree does.
    [[nodiscard]] bool remove(uint64_t address);

    /// Sorted by address.
    [[nodiscard]] Snapshot snapshot() const;
    /// Changes with each add and remove; a reader with an older number takes a new snapshot.
    [[nodiscard]] uint64_t version() const { return version_.load(std::memory_order_acquire); }

    /// Textures and surfaces that kernels reach by handles.
    [[nodiscard]] ImageTable& images() { return images_; }
    [[nodiscard]] const ImageTable& images() const { return images_; }
    /// What kernels set by cudaGraphSetConditional.
    [[nodiscard]] ConditionTable& conditions() { return conditions_; }
    [[nodiscard]] const ConditionTable& conditions() const { return conditions_; }

    /// The range of the newest snapshot that holds all of [address, address + size), or null range.
    [[nodiscard]] Range find(uint64_t address, uint64_t size) const;

private:
    mutable std::mutex mutex_;
    Snapshot ranges_;
    ImageTable images_;
    ConditionTable conditions_;
    // Released by add and remove, acquired by version().
    std::atomic<uint64_t> version_{1};
};

/// Binary search in a snapshot: the range that holds all of [address, address + size), or {0, 0}.
[[nodiscard]] MemoryMap::Range find_range(const std::vector<MemoryMap::Range>& ranges,
                                          uint64_t address, uint64_t size);

}  // namespace cubar::softgpu::exec
