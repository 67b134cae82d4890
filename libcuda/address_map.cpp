// SPDX-License-Identifier: Apache-2.0
#include "libcuda/address_map.h"

#include <sys/mman.h>

#include <iterator>

namespace cubar::guest {
void AddressMap::add(const MemoryRange& range) {
    const std::unique_lock lock(mutex_);
    add_locked(range);
}

bool AddressMap::add_apart(const MemoryRange& range) {
    const std::unique_lock lock(mutex_);
    const auto after = ranges_.lower_bound(range.begin);
    if (after != ranges_.end() && after->second.begin < range.end()) return false;
    if (after != ranges_.begin() && std::prev(after)->second.end() > range.begin) return false;
    add_locked(range);
    return true;
}

void AddressMap::add_locked(const MemoryRange& range) {
    MemoryRange& added = ranges_[range.begin];
    added = range;
    added.id = next_id_++;
}

std::optional<MemoryRange> AddressMap::remove(std::uint64_t begin) {
    const std::unique_lock lock(mutex_);
    const auto it = ranges_.find(begin);
    if (it == ranges_.end()) return std::nullopt;
    const MemoryRange range = it->second;
    ranges_.erase(it);
    return range;
}

std::optional<MemoryRange> AddressMap::find(std::uint64_t address) const {
    const std::shared_lock lock(mutex_);
    auto it = ranges_.upper_bound(address);
    if (it == ranges_.begin()) return std::nullopt;
    --it;
    if (address >= it->second.end()) return std::nullopt;
    return it->second;
}

namespace {

constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

}  // namespace

bool AddressReservations::reserve(std::uint64_t begin, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t first = begin / kPageBytes;
    const std::uint64_t last = (begin + bytes - 1) / kPageBytes;
    for (std::uint64_t page = first; page <= last; ++page) {
        if (uses_[page]++ != 0) continue;
        void* wanted = reinterpret_cast<void*>(page * kPageBytes);
        void* got = mmap(wanted, kPageBytes, PROT_NONE, kReserve, -1, 0);
        if (got == wanted) continue;
        // A kernel older than MAP_FIXED_NOREPLACE takes the address for a hint.
        if (got != MAP_FAILED) munmap(got, kPageBytes);
        uses_.erase(page);
        for (std::uint64_t undo = first; undo < page; ++undo) drop(undo);
        return false;
    }
    return true;
}

void AddressReservations::release(std::uint64_t begin, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t last = (begin + bytes - 1) / kPageBytes;
    for (std::uint64_t page = begin / kPageBytes; page <= last; ++page) drop(page);
}

void AddressReservations::drop(std::uint64_t page) {
    const auto it = uses_.find(page);
    if (it == uses_.end() || --it->second != 0) return;
    uses_.erase(it);
    munmap(reinterpret_cast<void*>(page * kPageBytes), kPageBytes);
}

}  // namespace cubar::guest
