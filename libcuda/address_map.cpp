// SPDX-License-Identifier: Apache-2.0
#include "libcuda/address_map.h"

#include <sys/mman.h>

namespace cubar::guest {

AddressMap::Ranges::iterator AddressMap::overlapped(const MemoryRange& range) {
    auto it = ranges_.upper_bound(range.begin);
    if (it != ranges_.begin() && std::prev(it)->second.end() > range.begin) --it;
    return it != ranges_.end() && it->first < range.end() ? it : ranges_.end();
}

void AddressMap::erase_overlapped(const MemoryRange& range) {
    for (auto it = overlapped(range); it != ranges_.end(); it = overlapped(range)) {
        ranges_.erase(it);
    }
}

std::uint64_t AddressMap::add(MemoryRange range) {
    const std::unique_lock lock(mutex_);
    erase_overlapped(range);
    range.id = next_id_++;
    ranges_.emplace(range.begin, range);
    return range.id;
}

bool AddressMap::add_apart(MemoryRange range) {
    const std::unique_lock lock(mutex_);
    if (overlapped(range) != ranges_.end()) return false;
    range.id = next_id_++;
    ranges_.emplace(range.begin, range);
    return true;
}

void AddressMap::restore(const MemoryRange& range) {
    const std::unique_lock lock(mutex_);
    erase_overlapped(range);
    ranges_.emplace(range.begin, range);
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

bool AddressMap::holds(std::uint64_t address, std::uint64_t bytes) const {
    const std::shared_lock lock(mutex_);
    auto it = ranges_.upper_bound(address);
    if (it == ranges_.begin()) return false;
    for (--it; it != ranges_.end() && it->second.accessible; ++it) {
        const MemoryRange& range = it->second;
        if (address < range.begin || address >= range.end()) return false;
        if (bytes <= range.end() - address) return true;
        if (range.kind != MemoryKind::kMapped) return false;
        bytes -= range.end() - address;
        address = range.end();
        const auto next = std::next(it);
        if (next != ranges_.end() && next->second.kind != MemoryKind::kMapped) return false;
    }
    return false;
}

bool AddressMap::made_of_mappings(std::uint64_t begin, std::uint64_t bytes) const {
    std::uint64_t covered = 0;
    while (covered < bytes) {
        const auto it = ranges_.find(begin + covered);
        if (it == ranges_.end() || it->second.kind != MemoryKind::kMapped) return false;
        covered += it->second.bytes;
    }
    return bytes != 0 && covered == bytes;
}

namespace {

constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
constexpr std::uint64_t kPage = AddressReservations::kPageBytes;

bool reserve_pages(std::uint64_t first, std::uint64_t end) {
    if (first == end) return true;
    void* const wanted = reinterpret_cast<void*>(first * kPage);
    const std::size_t bytes = (end - first) * kPage;
    void* const got = mmap(wanted, bytes, PROT_NONE, kReserve, -1, 0);
    if (got == wanted) return true;
    // A kernel older than MAP_FIXED_NOREPLACE takes the address for a hint.
    if (got != MAP_FAILED) munmap(got, bytes);
    return false;
}

void unmap_pages(std::uint64_t first, std::uint64_t end) {
    if (first != end) munmap(reinterpret_cast<void*>(first * kPage), (end - first) * kPage);
}

}  // namespace

// A large allocation has ten thousands of pages, so each run of pages is one system call.
bool AddressReservations::reserve(std::uint64_t begin, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t first = begin / kPage;
    const std::uint64_t end = (begin + bytes - 1) / kPage + 1;
    std::uint64_t fresh = first;  // pages from here on are new, and not mapped yet
    for (std::uint64_t page = first; page < end; ++page) {
        if (uses_[page]++ == 0) continue;
        if (!reserve_pages(fresh, page)) return undo(first, fresh, page + 1);
        fresh = page + 1;
    }
    return reserve_pages(fresh, end) || undo(first, fresh, end);
}

// Those of [unmapped, counted) that are new have no mapping.
bool AddressReservations::undo(std::uint64_t first, std::uint64_t unmapped, std::uint64_t counted) {
    for (std::uint64_t page = unmapped; page < counted; ++page) {
        const auto it = uses_.find(page);
        if (--it->second == 0) uses_.erase(it);
    }
    drop(first, unmapped);
    return false;
}

void AddressReservations::release(std::uint64_t begin, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    drop(begin / kPage, (begin + bytes - 1) / kPage + 1);
}

void AddressReservations::drop(std::uint64_t first, std::uint64_t end) {
    std::uint64_t unused = first;  // pages from here on have no user left
    for (std::uint64_t page = first; page < end; ++page) {
        const auto it = uses_.find(page);
        if (it != uses_.end() && --it->second == 0) {
            uses_.erase(it);
            continue;
        }
        unmap_pages(unused, page);
        unused = page + 1;
    }
    unmap_pages(unused, end);
}

}  // namespace cubar::guest
