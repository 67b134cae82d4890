// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/memory_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "driver/log.h"
#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

std::size_t extent_of(std::size_t size) {
    return round_up(size, kSmallAlignment);
}

/// Enters an allocation into the memory map or takes it out, in a stream's order; in a faulted
/// context too, since the pool and its memory outlive that.
class MapTask final : public Task {
public:
    MapTask(Memory& memory, PoolRef pool, Address base, std::size_t size)
        : memory_(memory), pool_(std::move(pool)), base_(base), size_(size) {}
    void run(Stream&) override { apply(); }
    void skip(CUresult) override { apply(); }

private:
    void apply() {
        const bool done =
            size_ != 0 ? memory_.map().add(base_, size_) : memory_.map().remove(base_);
        if (!done) CUBAR_LOG(kError, "softgpu: %#lx and the memory map do not agree", base_);
    }

    Memory& memory_;
    const PoolRef pool_;  // its memory stays until the stream has got here
    const Address base_;
    const std::size_t size_;  // 0: take it out
};

}  // namespace

MemoryPool::~MemoryPool() {
    for (const auto& [base, chunk] : chunks_) device_.heap().free(base);
}

std::optional<Address> MemoryPool::allocate(std::size_t size, StreamSet& order,
                                            const StreamRef& stream) {
    auto allocation = std::make_shared<PooledAllocation>();
    std::optional<Place> place;
    {
        std::lock_guard lock(mutex_);
        place = find(extent_of(size), *stream);
        if (!place) return std::nullopt;
        used_ += extent_of(size);
        used_high_ = std::max(used_high_, used_);
    }
    allocation->base = place->base;
    allocation->size = size;
    allocation->kind = MemoryKind::kPooled;
    allocation->device = device_.ordinal();
    allocation->pool = shared_from_this();
    memory_.add(allocation);
    std::vector<Point> after;
    if (place->after) after.push_back(*std::move(place->after));
    order.submit(stream, std::make_unique<MapTask>(memory_, shared_from_this(), place->base, size),
                 std::move(after));
    return place->base;
}

std::optional<MemoryPool::Place> MemoryPool::find(std::size_t size, const Stream& stream) {
    if (size == 0) return std::nullopt;  // more than can be rounded up
    const auto same_stream = [&](const Freed& freed) { return freed.end.stream() == &stream; };
    if (const auto base = take_freed(size, same_stream, nullptr)) return Place{*base, {}};
    if (opportunistic_) sweep();
    for (auto& [begin, chunk] : chunks_)
        if (const auto base = chunk.ranges.take(size, kSmallAlignment)) return Place{*base, {}};
    if (const auto base = grow(size)) return Place{*base, {}};
    std::optional<Point> after;
    const auto any = [](const Freed&) { return true; };
    if (internal_dependencies_)
        if (const auto base = take_freed(size, any, &after)) return Place{*base, std::move(after)};
    return std::nullopt;
}

std::optional<Address> MemoryPool::take_freed(std::size_t size, auto fits,
                                              std::optional<Point>* after) {
    auto best = freed_.end();
    for (auto freed = freed_.begin(); freed != freed_.end(); ++freed)
        if (freed->size >= size && fits(*freed) &&
            (best == freed_.end() || freed->size < best->size))
            best = freed;
    if (best == freed_.end()) return std::nullopt;
    const Address base = best->base;
    if (after != nullptr) *after = best->end;
    best->base += size;
    best->size -= size;
    if (best->size == 0) freed_.erase(best);
    return base;
}

std::optional<Address> MemoryPool::grow(std::size_t size) {
    const std::size_t whole = round_up(size, kPageSize);
    if (whole < size || (limit_ != 0 && whole > limit_ - std::min<std::size_t>(limit_, reserved_)))
        return std::nullopt;
    const auto begin = device_.heap().allocate(whole);
    if (!begin) return std::nullopt;
    Chunk& chunk =
        chunks_.emplace(*begin, Chunk{whole, RangeAllocator(*begin, whole)}).first->second;
    reserved_ += whole;
    reserved_high_ = std::max(reserved_high_, reserved_);
    return chunk.ranges.take(size, kSmallAlignment);
}

void MemoryPool::free(Address base, StreamSet& order, const StreamRef& stream) {
    const AllocationRef allocation = memory_.forget(base, MemoryKind::kPooled);
    require_value(allocation != nullptr, "freed already");
    Point end =
        order.submit(stream, std::make_unique<MapTask>(memory_, shared_from_this(), base, 0));
    const std::size_t size = extent_of(allocation->size);
    std::lock_guard lock(mutex_);
    used_ -= size;
    freed_.push_back({base, size, std::move(end)});
}

void MemoryPool::free_now(Address base) {
    const AllocationRef allocation = memory_.forget(base, MemoryKind::kPooled);
    require_value(allocation != nullptr, "freed already");
    if (!memory_.map().remove(base))
        CUBAR_LOG(kError, "softgpu: %#lx was not in the memory map", base);
    const std::size_t size = extent_of(allocation->size);
    std::lock_guard lock(mutex_);
    used_ -= size;
    give(base, size);
}

void MemoryPool::give(Address base, std::size_t size) {
    std::prev(chunks_.upper_bound(base))->second.ranges.give(base, size);
}

void MemoryPool::sweep() {
    std::erase_if(freed_, [&](const Freed& freed) {
        if (!freed.end.done()) return false;
        give(freed.base, freed.size);
        return true;
    });
}

void MemoryPool::trim_locked(std::size_t keep) {
    sweep();
    for (auto chunk = chunks_.begin(); chunk != chunks_.end() && reserved_ > keep;) {
        const std::size_t size = chunk->second.size;
        if (!chunk->second.ranges.whole() || reserved_ - size < keep) {
            ++chunk;
            continue;
        }
        device_.heap().free(chunk->first);
        reserved_ -= size;
        chunk = chunks_.erase(chunk);
    }
}

void MemoryPool::trim(std::size_t keep) {
    std::lock_guard lock(mutex_);
    trim_locked(keep);
}

void MemoryPool::observe() {
    std::lock_guard lock(mutex_);
    trim_locked(threshold_);
}

std::uint64_t MemoryPool::attribute(CUmemPool_attribute attribute) {
    std::lock_guard lock(mutex_);
    switch (attribute) {
        case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
            return follow_events_ ? 1 : 0;
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
            return opportunistic_ ? 1 : 0;
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
            return internal_dependencies_ ? 1 : 0;
        case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
            return threshold_;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
            return reserved_;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
            return reserved_high_;
        case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
            return used_;
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
            return used_high_;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such pool attribute");
    }
}

void MemoryPool::set_attribute(CUmemPool_attribute attribute, std::uint64_t value) {
    std::lock_guard lock(mutex_);
    switch (attribute) {
        case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
            follow_events_ = value != 0;
            return;
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
            opportunistic_ = value != 0;
            return;
        case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
            internal_dependencies_ = value != 0;
            return;
        case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
            threshold_ = value;
            return;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
            require_value(value == 0, "a high watermark can only be reset to zero");
            reserved_high_ = reserved_;
            return;
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
            require_value(value == 0, "a high watermark can only be reset to zero");
            used_high_ = used_;
            return;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "this pool attribute cannot be set");
    }
}

}  // namespace cubar::softgpu::device
