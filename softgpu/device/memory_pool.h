// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "softgpu/device/device.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/stream_set.h"

namespace cubar::softgpu::device {

/// Memory that is allocated and freed in the order of streams. A kernel may touch an allocation
/// between these two operations and at no other time. What was freed stays with the pool: at once
/// for later operations of the same stream, for the others when the free is done, or when they can
/// be made to wait for it; and goes back to the device at a synchronisation, down to the release
/// threshold. Thread-safe.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
public:
    /// @param limit bytes that it may reserve; 0: no limit but the device's
    MemoryPool(Memory& memory, Device& device, std::size_t limit)
        : memory_(memory), device_(device), limit_(limit) {}
    /// All that it gave out was freed: the allocations keep it alive.
    ~MemoryPool();
    MemoryPool(const MemoryPool&) = delete;
    MemoryPool& operator=(const MemoryPool&) = delete;

    [[nodiscard]] Device& device() const { return device_; }

    /// The address can be used after the operation that this puts into the stream. None when
    /// memory is exhausted.
    std::optional<Address> allocate(std::size_t size, StreamSet& order, const StreamRef& stream);
    /// Ends an allocation of this pool in the stream's order. Throws CUDA_ERROR_INVALID_VALUE when
    /// another thread was quicker.
    void free(Address base, StreamSet& order, const StreamRef& stream);
    /// Ends it now. The caller has made sure that no work in flight uses it.
    void free_now(Address base);

    /// Gives memory that is not in use back to the device, as long as `keep` bytes stay.
    void trim(std::size_t keep);
    /// The application has waited for something: what is above the release threshold goes.
    void observe();

    /// Throws CUDA_ERROR_INVALID_VALUE for an attribute that is not there, or cannot be set to
    /// that.
    [[nodiscard]] std::uint64_t attribute(CUmemPool_attribute attribute);
    void set_attribute(CUmemPool_attribute attribute, std::uint64_t value);

    CUmemoryPool handle = nullptr;  ///< set by whoever publishes it

private:
    /// Freed, and the stream has perhaps not got there yet.
    struct Freed {
        Address base;
        std::size_t size;
        Point end;
    };
    struct Place {
        Address base;
        std::optional<Point> after;  ///< what its use must wait for
    };

    // With the lock held.
    std::optional<Place> find(std::size_t size, const Stream& stream);
    std::optional<Address> take_freed(std::size_t size, auto fits, std::optional<Point>* after);
    std::optional<Address> grow(std::size_t size);
    void sweep();
    void give(Address base, std::size_t size);
    void trim_locked(std::size_t keep);

    Memory& memory_;
    Device& device_;
    const std::size_t limit_;

    std::mutex mutex_;
    struct Chunk {
        std::size_t size;
        RangeAllocator ranges;
    };
    std::map<Address, Chunk> chunks_;
    std::vector<Freed> freed_;
    std::uint64_t reserved_ = 0;
    std::uint64_t reserved_high_ = 0;
    std::uint64_t used_ = 0;
    std::uint64_t used_high_ = 0;
    std::uint64_t threshold_ = 0;
    // A stream that follows another by events is given what the other freed only once that is
    // done: to reuse it earlier is leave, not duty.
    bool follow_events_ = true;
    bool opportunistic_ = true;
    bool internal_dependencies_ = true;
};

using PoolRef = std::shared_ptr<MemoryPool>;

/// What a pool gave out.
struct PooledAllocation final : Allocation {
    PoolRef pool;
};

/// The pool of an allocation, or null for memory of another kind.
inline MemoryPool* pool_of(const Allocation& allocation) {
    return allocation.kind == MemoryKind::kPooled
               ? static_cast<const PooledAllocation&>(allocation).pool.get()
               : nullptr;
}

}  // namespace cubar::softgpu::device
