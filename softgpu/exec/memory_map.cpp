// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/memory_map.h"

#include <algorithm>

namespace cubar::softgpu::exec {
namespace {

bool begins_before(const MemoryMap::Range& range, uint64_t address) {
    return range.begin < address;
}

}  // namespace

MemoryMap::MemoryMap() : ranges_(std::make_shared<const std::vector<Range>>()) {}

bool MemoryMap::add(uint64_t address, uint64_t size) {
    const Range range{address, address + size};
    if (range.end <= range.begin) return false;
    const std::lock_guard lock(mutex_);
    const auto at = std::lower_bound(ranges_->begin(), ranges_->end(), address, begins_before);
    if (at != ranges_->end() && at->begin < range.end) return false;
    if (at != ranges_->begin() && std::prev(at)->end > range.begin) return false;
    auto next = std::make_shared<std::vector<Range>>();
    next->reserve(ranges_->size() + 1);
    next->insert(next->end(), ranges_->begin(), at);
    next->push_back(range);
    next->insert(next->end(), at, ranges_->end());
    ranges_ = std::move(next);
    version_.fetch_add(1, std::memory_order_release);
    return true;
}

bool MemoryMap::remove(uint64_t address) {
    const std::lock_guard lock(mutex_);
    const auto at = std::lower_bound(ranges_->begin(), ranges_->end(), address, begins_before);
    if (at == ranges_->end() || at->begin != address) return false;
    auto next = std::make_shared<std::vector<Range>>(ranges_->begin(), at);
    next->insert(next->end(), std::next(at), ranges_->end());
    ranges_ = std::move(next);
    version_.fetch_add(1, std::memory_order_release);
    return true;
}

MemoryMap::Snapshot MemoryMap::snapshot() const {
    const std::lock_guard lock(mutex_);
    return ranges_;
}

MemoryMap::Range MemoryMap::find(uint64_t address, uint64_t size) const {
    return find_range(*snapshot(), address, size);
}

MemoryMap::Range find_range(const std::vector<MemoryMap::Range>& ranges, uint64_t address,
                            uint64_t size) {
    auto at = std::lower_bound(ranges.begin(), ranges.end(), address, begins_before);
    if (at == ranges.end() || at->begin != address) {
        if (at == ranges.begin()) return {0, 0};
        --at;
    }
    if (address >= at->end || size > at->end - address) return {0, 0};
    return *at;
}

}  // namespace cubar::softgpu::exec
