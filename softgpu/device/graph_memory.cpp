// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/graph_memory.h"

#include <algorithm>
#include <utility>

#include "driver/log.h"
#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

std::size_t extent_of(std::size_t size) {
    return round_up(size, kPageSize);
}

/// Ends what may be touched of an allocation; in a faulted context too, since the memory outlives
/// that.
class UnmapTask final : public Task {
public:
    explicit UnmapTask(GraphBlockRef block) : block_(std::move(block)) {}
    void run(Stream&) override { block_->unmap(); }
    void skip(CUresult) override { block_->unmap(); }

private:
    const GraphBlockRef block_;
};

}  // namespace

GraphBlock::GraphBlock(GraphMemory& owner, Device& device, Address base, std::size_t size)
    : owner_(owner), device_(device), base_(base), size_(size) {}

GraphBlock::~GraphBlock() {
    unmap();
    owner_.memory_.forget(base_, MemoryKind::kGraph);
    std::lock_guard lock(owner_.mutex_);
    owner_.blocks_.erase(this);
    owner_.give_back(*this);
    owner_.memory_.space().release(base_, extent_of(size_));
}

void GraphBlock::map() {
    std::lock_guard lock(owner_.mutex_);
    if (!std::exchange(mapped_, true) && !owner_.memory_.map().add(base_, size_))
        CUBAR_LOG(kError, "softgpu: %#lx was in the memory map", base_);
}

void GraphBlock::unmap() {
    std::lock_guard lock(owner_.mutex_);
    if (std::exchange(mapped_, false) && !owner_.memory_.map().remove(base_))
        CUBAR_LOG(kError, "softgpu: %#lx was not in the memory map", base_);
}

GraphBlockRef GraphMemory::reserve(Device& device, std::size_t size) {
    const std::size_t extent = extent_of(size);
    require(extent >= size && extent <= device.heap().capacity(), CUDA_ERROR_OUT_OF_MEMORY,
            "more than the device has");
    const auto base = memory_.space().reserve(extent, kPageSize);
    require(base.has_value(), CUDA_ERROR_OUT_OF_MEMORY, "no addresses are left");
    auto block = std::make_shared<GraphBlock>(*this, device, *base, size);
    {
        std::lock_guard lock(mutex_);
        blocks_.insert(block.get());
    }
    auto allocation = std::make_shared<GraphAllocation>();
    allocation->base = *base;
    allocation->size = size;
    allocation->kind = MemoryKind::kGraph;
    allocation->device = device.ordinal();
    allocation->block = block;
    memory_.add(std::move(allocation));
    return block;
}

GraphBlockRef GraphMemory::find(Address base) const {
    const AllocationRef allocation = memory_.find(base);
    if (allocation == nullptr || allocation->base != base || allocation->kind != MemoryKind::kGraph)
        return nullptr;
    return static_cast<const GraphAllocation&>(*allocation).block.lock();
}

bool GraphMemory::back(GraphBlock& block) {
    if (block.backed_) return true;
    const std::size_t extent = extent_of(block.size_);
    Heap& heap = block.device_.heap();
    if (!heap.claim(extent)) return false;
    if (!memory_.space().commit(block.base_, extent)) {
        heap.give_up(extent);
        return false;
    }
    block.backed_ = true;
    Counts& counts = counts_[block.device_.ordinal()];
    counts.reserved += extent;
    counts.reserved_high = std::max(counts.reserved_high, counts.reserved);
    return true;
}

void GraphMemory::give_back(GraphBlock& block) {
    if (!std::exchange(block.backed_, false)) return;
    const std::size_t extent = extent_of(block.size_);
    memory_.space().decommit(block.base_, extent);
    block.device_.heap().give_up(extent);
    counts_[block.device_.ordinal()].reserved -= extent;
}

GraphBlockRef GraphMemory::end_locked(GraphBlock& block) {
    block.live_ = false;
    const auto found = live_.find(block.base_);
    GraphBlockRef kept = std::move(found->second);
    live_.erase(found);
    return kept;
}

GraphMemory::Prepared GraphMemory::prepare(std::span<const Step> steps, bool auto_free) {
    Prepared prepared;
    std::lock_guard lock(mutex_);
    std::map<GraphBlock*, bool> live;
    for (const Step& step : steps) {
        GraphBlock* block = step.block.get();
        const auto [known, first] = live.emplace(block, block->live_);
        if (first && step.allocates && block->live_) {
            require_value(auto_free, "an earlier launch's allocation has not been freed");
            prepared.freed_before.push_back(step.block);
            known->second = false;
        }
        require_value(known->second != step.allocates,
                      step.allocates ? "allocated twice" : "the memory to free is not allocated");
        known->second = step.allocates;
    }
    for (const Step& step : steps) {
        if (!step.allocates) continue;
        if (!back(*step.block)) {
            trim_locked(step.block->device_);
            require(back(*step.block), CUDA_ERROR_OUT_OF_MEMORY, "device memory is exhausted");
        }
        if (!step.block->last_use_.done()) prepared.after.push_back(step.block->last_use_);
    }
    for (const Step& step : steps) ++step.block->launching_;
    return prepared;
}

void GraphMemory::launched(std::span<const Step> steps, const Point& end) {
    std::vector<GraphBlockRef> ended;  // released without the lock
    std::lock_guard lock(mutex_);
    // While all of them count as in use: the launch may have ended by now.
    for (const Step& step : steps) {
        Counts& counts = counts_[step.block->device_.ordinal()];
        counts.used_high = std::max(counts.used_high, used(step.block->device_));
    }
    for (const Step& step : steps) {
        GraphBlock& block = *step.block;
        --block.launching_;
        block.last_use_ = end;
        if (step.allocates) {
            block.live_ = true;
            live_.insert_or_assign(block.base_, step.block);
        } else if (block.live_) {
            ended.push_back(end_locked(block));
        }
    }
}

void GraphMemory::free(const GraphBlockRef& block, StreamSet& order, const StreamRef& stream) {
    {
        std::lock_guard lock(mutex_);
        require_value(block->live_, "the graph's memory is not allocated");
        end_locked(*block);  // the caller's reference keeps it
    }
    const Point end = order.submit(stream, std::make_unique<UnmapTask>(block));
    std::lock_guard lock(mutex_);
    block->last_use_ = end;
}

void GraphMemory::free_now(const GraphBlockRef& block) {
    {
        std::lock_guard lock(mutex_);
        require_value(block->live_, "the graph's memory is not allocated");
        end_locked(*block);
    }
    block->unmap();
}

void GraphMemory::trim(const Device& device) {
    std::lock_guard lock(mutex_);
    trim_locked(device);
}

void GraphMemory::trim_locked(const Device& device) {
    for (GraphBlock* block : blocks_)
        if (&block->device_ == &device && !in_use(*block)) give_back(*block);
}

bool GraphMemory::in_use(const GraphBlock& block) {
    return block.live_ || block.launching_ != 0 || !block.last_use_.done();
}

std::uint64_t GraphMemory::used(const Device& device) const {
    std::uint64_t bytes = 0;
    for (const GraphBlock* block : blocks_)
        if (&block->device_ == &device && in_use(*block)) bytes += extent_of(block->size_);
    return bytes;
}

std::uint64_t GraphMemory::attribute(const Device& device, CUgraphMem_attribute attribute) {
    std::lock_guard lock(mutex_);
    const Counts& counts = counts_[device.ordinal()];
    switch (attribute) {
        case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT:
            return used(device);
        case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
            return counts.used_high;
        case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT:
            return counts.reserved;
        case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
            return counts.reserved_high;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such attribute");
    }
}

void GraphMemory::reset_attribute(const Device& device, CUgraphMem_attribute attribute) {
    std::lock_guard lock(mutex_);
    Counts& counts = counts_[device.ordinal()];
    switch (attribute) {
        case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
            counts.used_high = used(device);
            return;
        case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
            counts.reserved_high = counts.reserved;
            return;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "this attribute cannot be set");
    }
}

}  // namespace cubar::softgpu::device
