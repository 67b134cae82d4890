// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/condition.h"

#include <mutex>
#include <utility>

namespace cubar::softgpu::exec {

uint64_t ConditionTable::add(ConditionValue value) {
    const std::lock_guard lock(mutex_);
    const uint64_t handle = next_++;
    values_.emplace(handle, std::move(value));
    return handle;
}

void ConditionTable::remove(uint64_t handle) {
    const std::lock_guard lock(mutex_);
    values_.erase(handle);
}

bool ConditionTable::set(uint64_t handle, uint32_t value) const {
    const std::shared_lock lock(mutex_);
    const auto at = values_.find(handle);
    if (at == values_.end()) return false;
    // Kernels that set it at the same time race; whoever reads it comes after the kernel's end.
    at->second->store(value, std::memory_order_relaxed);
    return true;
}

}  // namespace cubar::softgpu::exec
