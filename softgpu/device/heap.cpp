// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/heap.h"

#include <iterator>

namespace cubar::softgpu::device {
namespace {

// Requests above this take pages of their own.
constexpr std::size_t kLargestSmall = kPageSize / 2;

}  // namespace

Heap::Heap(AddressSpace& space, std::size_t capacity)
    : space_(space), capacity_(capacity / kPageSize * kPageSize) {}

Heap::~Heap() {
    for (const auto& [address, size] : sizes_)
        if (size > kLargestSmall) unmap_pages(address, size);
    for (const auto& [page, ranges] : shared_pages_) unmap_pages(page, kPageSize);
}

std::size_t Heap::extent(std::size_t size) {
    return round_up(size, size > kLargestSmall ? kPageSize : kSmallAlignment);
}

std::optional<Address> Heap::allocate(std::size_t size) {
    if (size == 0 || size > capacity_) return std::nullopt;
    const std::size_t extent = Heap::extent(size);
    std::lock_guard lock(mutex_);
    const auto address = size > kLargestSmall ? map_pages(extent) : allocate_small(extent);
    if (address) sizes_.emplace(*address, extent);
    return address;
}

std::optional<Address> Heap::allocate_small(std::size_t size) {
    for (auto& [page, ranges] : shared_pages_)
        if (const auto address = ranges.take(size, kSmallAlignment)) return address;
    const auto page = map_pages(kPageSize);
    if (!page) return std::nullopt;
    auto& ranges = shared_pages_.emplace(*page, RangeAllocator(*page, kPageSize)).first->second;
    return ranges.take(size, kSmallAlignment);
}

void Heap::free(Address address) {
    std::lock_guard lock(mutex_);
    const auto found = sizes_.find(address);
    const std::size_t size = found->second;
    sizes_.erase(found);
    if (size > kLargestSmall) {
        unmap_pages(address, size);
        return;
    }
    const auto page = std::prev(shared_pages_.upper_bound(address));
    page->second.give(address, size);
    if (!page->second.whole()) return;
    unmap_pages(page->first, kPageSize);
    shared_pages_.erase(page);
}

bool Heap::claim(std::size_t size) {
    std::lock_guard lock(mutex_);
    if (size > capacity_ - used_) return false;
    used_ += size;
    return true;
}

void Heap::give_up(std::size_t size) {
    std::lock_guard lock(mutex_);
    used_ -= size;
}

std::optional<Address> Heap::map_pages(std::size_t size) {
    if (size > capacity_ - used_) return std::nullopt;
    const auto begin = space_.reserve(size, kPageSize);
    if (!begin) return std::nullopt;
    if (!space_.commit(*begin, size)) {
        space_.release(*begin, size);
        return std::nullopt;
    }
    used_ += size;
    return begin;
}

void Heap::unmap_pages(Address begin, std::size_t size) {
    space_.decommit(begin, size);
    space_.release(begin, size);
    used_ -= size;
}

std::size_t Heap::available() const {
    std::lock_guard lock(mutex_);
    return capacity_ - used_;
}

}  // namespace cubar::softgpu::device
