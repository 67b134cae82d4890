// SPDX-License-Identifier: Apache-2.0
#include "transport/arena.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace cubar::transport {

namespace {

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

}  // namespace

Arena::~Arena() {
    std::free(extents_);
}

/// Index of the first extent that ends after `offset`.
std::size_t Arena::position_of(std::uint64_t offset) const {
    const Extent* const found = std::upper_bound(
        extents_, extents_ + count_, offset,
        [](std::uint64_t value, const Extent& extent) { return value < extent.end; });
    return static_cast<std::size_t>(found - extents_);
}

bool Arena::reserve_extents(std::size_t more) {
    static_assert(std::is_trivially_copyable_v<Extent>);
    if (count_ + more <= capacity_) {
        return true;
    }
    const std::size_t capacity = std::max<std::size_t>(64, 2 * capacity_);
    void* const larger = std::realloc(extents_, capacity * sizeof(Extent));
    if (larger == nullptr) {
        return false;
    }
    extents_ = static_cast<Extent*>(larger);
    capacity_ = capacity;
    return true;
}

void Arena::insert(std::size_t at, Extent extent) {
    std::memmove(extents_ + at + 1, extents_ + at, (count_ - at) * sizeof(Extent));
    extents_[at] = extent;
    ++count_;
}

void Arena::erase(std::size_t at) {
    std::memmove(extents_ + at, extents_ + at + 1, (count_ - at - 1) * sizeof(Extent));
    --count_;
}

void Arena::merge_around(std::size_t at) {
    const auto joins = [&](std::size_t left) {
        return !extents_[left].used && !extents_[left + 1].used &&
               extents_[left].lease == extents_[left + 1].lease;
    };
    if (at + 1 < count_ && joins(at)) {
        extents_[at].end = extents_[at + 1].end;
        erase(at + 1);
    }
    if (at > 0 && joins(at - 1)) {
        extents_[at - 1].end = extents_[at].end;
        erase(at);
    }
}

bool Arena::add(GranuleRun run) {
    const std::uint64_t begin = run.first * kGranuleBytes;
    const std::uint64_t end = begin + run.count * kGranuleBytes;
    ShortGuard guard(lock_);
    const std::size_t at = position_of(begin);
    if (begin == end || (at < count_ && extents_[at].begin < end) || !reserve_extents(1)) {
        return false;
    }
    insert(at, {begin, end, begin, false});
    leased_ += end - begin;
    return true;
}

std::uint64_t Arena::allocate(std::uint64_t bytes, std::uint64_t alignment) {
    if (bytes == 0 || bytes > kNone - alignment - kUnit) {
        return kNone;
    }
    bytes = round_up(bytes, kUnit);
    alignment = std::max(alignment, kUnit);
    ShortGuard guard(lock_);
    if (!reserve_extents(2)) {
        return kNone;
    }
    for (std::size_t at = 0; at < count_; ++at) {
        const Extent extent = extents_[at];
        const std::uint64_t begin = round_up(extent.begin, alignment);
        if (extent.used || begin >= extent.end || extent.end - begin < bytes) {
            continue;
        }
        extents_[at] = {begin, begin + bytes, extent.lease, true};
        if (begin + bytes < extent.end) {
            insert(at + 1, {begin + bytes, extent.end, extent.lease, false});
        }
        if (extent.begin < begin) {
            insert(at, {extent.begin, begin, extent.lease, false});
        }
        allocated_ += bytes;
        return begin;
    }
    return kNone;
}

bool Arena::free(std::uint64_t offset) {
    ShortGuard guard(lock_);
    const std::size_t at = position_of(offset);
    if (at == count_ || !extents_[at].used || extents_[at].begin != offset) {
        return false;
    }
    allocated_ -= extents_[at].end - extents_[at].begin;
    extents_[at].used = false;
    merge_around(at);
    return true;
}

std::uint64_t Arena::find(std::uint64_t offset, std::uint64_t* begin) const {
    ShortGuard guard(lock_);
    const std::size_t at = position_of(offset);
    if (at == count_ || !extents_[at].used || extents_[at].begin > offset) {
        return 0;
    }
    *begin = extents_[at].begin;
    return extents_[at].end - extents_[at].begin;
}

GranuleRun Arena::remove_free() {
    ShortGuard guard(lock_);
    for (std::size_t at = 0; at < count_; ++at) {
        const Extent extent = extents_[at];
        const bool last = at + 1 == count_ || extents_[at + 1].lease != extent.lease;
        // Free neighbours of one lease are merged, so a lease that is free is one extent.
        if (extent.used || extent.begin != extent.lease || !last) {
            continue;
        }
        erase(at);
        const std::uint64_t bytes = extent.end - extent.begin;
        leased_ -= bytes;
        return {static_cast<std::uint32_t>(extent.begin / kGranuleBytes),
                static_cast<std::uint32_t>(bytes / kGranuleBytes)};
    }
    return {};
}

std::uint64_t Arena::leased_bytes() const {
    ShortGuard guard(lock_);
    return leased_;
}

std::uint64_t Arena::allocated_bytes() const {
    ShortGuard guard(lock_);
    return allocated_;
}

}  // namespace cubar::transport
