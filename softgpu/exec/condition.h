// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <unordered_map>

namespace cubar::softgpu::exec {

/// The value that decides what a conditional node of a graph runs.
using ConditionValue = std::shared_ptr<std::atomic<uint32_t>>;

/// Conditions by the handles with which kernels set them. A handle is never used again, so one
/// whose condition has ended names nothing. Thread-safe.
class ConditionTable {
public:
    uint64_t add(ConditionValue value);
    void remove(uint64_t handle);
    /// False when nothing has that handle.
    [[nodiscard]] bool set(uint64_t handle, uint32_t value) const;

private:
    // Handles are no addresses, and no small numbers either.
    static constexpr uint64_t kFirst = (uint64_t{1} << 53) + 1;

    mutable std::shared_mutex mutex_;
    uint64_t next_ = kFirst;
    std::unordered_map<uint64_t, ConditionValue> values_;
};

}  // namespace cubar::softgpu::exec
