// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/address_space.h"

#include <sys/mman.h>

#include <iterator>

namespace cubar::softgpu::device {
namespace {

constexpr std::size_t kWindowSize = std::size_t{1} << 40;
// Above every executable and heap, below the mappings that Linux places from the top.
constexpr Address kPreferred = 0x2000'0000'0000;
// Where Go programs keep their heap: a peer that mirrors these addresses is likely to collide.
constexpr Address kColliding = 0x00c0'0000'0000;

void* at(Address address) {
    return reinterpret_cast<void*>(address);
}

Address map_window(Address preferred) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* window = mmap(at(preferred), kWindowSize, PROT_NONE, kFlags | MAP_FIXED_NOREPLACE, -1, 0);
    if (window == MAP_FAILED) window = mmap(nullptr, kWindowSize, PROT_NONE, kFlags, -1, 0);
    return window == MAP_FAILED ? 0 : reinterpret_cast<Address>(window);
}

}  // namespace

RangeAllocator::RangeAllocator(Address begin, std::size_t size) : size_(size) {
    holes_.emplace(begin, size);
}

std::optional<Address> RangeAllocator::take(std::size_t size, std::size_t alignment) {
    if (size == 0 || size > size_) return std::nullopt;
    for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
        const Address begin = (hole->first + alignment - 1) & ~(Address{alignment} - 1);
        const std::size_t skipped = begin - hole->first;
        if (hole->second >= skipped && hole->second - skipped >= size)
            return carve(hole, begin, size);
    }
    return std::nullopt;
}

std::optional<Address> RangeAllocator::take_at(Address begin, std::size_t size) {
    auto hole = holes_.upper_bound(begin);
    if (size == 0 || hole == holes_.begin()) return std::nullopt;
    --hole;
    const std::size_t skipped = begin - hole->first;
    if (hole->second < skipped || hole->second - skipped < size) return std::nullopt;
    return carve(hole, begin, size);
}

std::optional<Address> RangeAllocator::carve(std::map<Address, std::size_t>::iterator hole,
                                             Address begin, std::size_t size) {
    const Address hole_end = hole->first + hole->second;
    if (begin == hole->first)
        holes_.erase(hole);
    else
        hole->second = begin - hole->first;
    if (begin + size != hole_end) holes_.emplace(begin + size, hole_end - begin - size);
    return begin;
}

void RangeAllocator::give(Address begin, std::size_t size) {
    auto [hole, inserted] = holes_.emplace(begin, size);
    if (const auto next = std::next(hole); next != holes_.end() && begin + size == next->first) {
        hole->second += next->second;
        holes_.erase(next);
    }
    if (hole == holes_.begin()) return;
    const auto previous = std::prev(hole);
    if (previous->first + previous->second != begin) return;
    previous->second += hole->second;
    holes_.erase(hole);
}

bool RangeAllocator::whole() const {
    return holes_.size() == 1 && holes_.begin()->second == size_;
}

AddressSpace::AddressSpace(bool strict) {
    const Address mapped = map_window(strict ? kColliding : kPreferred);
    if (mapped == 0) return;
    begin_ = mapped;
    size_ = kWindowSize;
    const Address first = round_up(mapped, kPageSize);
    ranges_.emplace(first, kWindowSize - kPageSize);
}

AddressSpace::~AddressSpace() {
    if (valid()) munmap(at(begin_), size_);
}

std::optional<Address> AddressSpace::reserve(std::size_t size, std::size_t alignment) {
    std::lock_guard lock(mutex_);
    return ranges_ ? ranges_->take(size, alignment) : std::nullopt;
}

std::optional<Address> AddressSpace::reserve_at(Address begin, std::size_t size) {
    std::lock_guard lock(mutex_);
    return ranges_ ? ranges_->take_at(begin, size) : std::nullopt;
}

void AddressSpace::release(Address begin, std::size_t size) {
    std::lock_guard lock(mutex_);
    ranges_->give(begin, size);
}

bool AddressSpace::commit(Address begin, std::size_t size) {
    return mprotect(at(begin), size, PROT_READ | PROT_WRITE) == 0;
}

bool AddressSpace::map(Address begin, std::size_t size, int file, std::uint64_t offset) {
    return mmap(at(begin), size, PROT_NONE, MAP_SHARED | MAP_FIXED, file,
                static_cast<off_t>(offset)) != MAP_FAILED;
}

bool AddressSpace::allow(Address begin, std::size_t size, bool access) {
    return mprotect(at(begin), size, access ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}

void AddressSpace::unmap(Address begin, std::size_t size) {
    constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    // Where the process has no mapping left, nobody can touch at least what is still there.
    if (mmap(at(begin), size, PROT_NONE, kReserved, -1, 0) == MAP_FAILED) allow(begin, size, false);
}

void AddressSpace::decommit(Address begin, std::size_t size) {
    madvise(at(begin), size, MADV_DONTNEED);
    mprotect(at(begin), size, PROT_NONE);
}

}  // namespace cubar::softgpu::device
