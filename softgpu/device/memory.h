// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <vector>

#include "softgpu/device/address_space.h"
#include "softgpu/device/heap.h"
#include "softgpu/exec/memory_map.h"

namespace cubar::softgpu::device {

enum class MemoryKind : std::uint8_t {
    kDevice,      ///< cuMemAlloc
    kManaged,     ///< cuMemAllocManaged: the same memory seen from host and device
    kVariable,    ///< a module's __device__ or __constant__ variable
    kPinned,      ///< cuMemHostAlloc
    kRegistered,  ///< cuMemHostRegister: the caller's memory
    kMapped,      ///< cuMemMap: a device's memory in a reservation
    kPooled,      ///< cuMemAllocAsync
    kGraph,       ///< a graph's allocation node
};

/// Memory that CUDA knows. Host and device see each at one and the same address.
struct Allocation {
    Allocation() = default;
    virtual ~Allocation() = default;
    Allocation(const Allocation&) = delete;
    Allocation& operator=(const Allocation&) = delete;

    Address base = 0;
    std::size_t size = 0;  ///< bytes that were asked for
    MemoryKind kind = MemoryKind::kDevice;
    CUcontext context = nullptr;  ///< it dies with this one, if there is one
    int device = 0;               ///< ordinal
    unsigned flags = 0;    ///< CU_MEMHOSTALLOC_… or CU_MEMHOSTREGISTER_… or CU_MEM_ATTACH_…
    std::uint64_t id = 0;  ///< unique in this process
    Heap* heap = nullptr;  ///< where the memory came from; null for host memory
    std::atomic<bool> sync_memops = false;
    std::atomic<bool> accessible = true;  ///< false: mapped, and nobody may touch it yet

    [[nodiscard]] bool on_host() const {
        return kind == MemoryKind::kPinned || kind == MemoryKind::kRegistered;
    }
    [[nodiscard]] bool contains(Address address, std::size_t bytes) const {
        return address - base <= size && bytes <= size - (address - base);
    }
};

using AllocationRef = std::shared_ptr<Allocation>;

/// Who an allocation is for.
struct MemoryOwner {
    CUcontext context;
    int device;
};

/// All memory that CUDA knows in this process. Thread-safe. Freeing waits for nothing: the caller
/// has made sure that no work in flight uses the memory.
class Memory {
public:
    explicit Memory(bool strict);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    [[nodiscard]] AddressSpace& space() { return space_; }
    [[nodiscard]] const AddressSpace& space() const { return space_; }
    /// What kernels may touch.
    [[nodiscard]] exec::MemoryMap& map() { return map_; }

    /// From a device's heap. Throws CUDA_ERROR_OUT_OF_MEMORY. A kVariable is left out of map():
    /// the program enters its variables itself.
    AllocationRef allocate(Heap& heap, MemoryOwner owner, std::size_t size, MemoryKind kind,
                           unsigned flags = 0);
    /// Page-locked host memory. Throws CUDA_ERROR_OUT_OF_MEMORY.
    AllocationRef allocate_pinned(MemoryOwner owner, std::size_t size, unsigned flags);
    /// Makes the caller's memory known. Throws CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, or
    /// CUDA_ERROR_INVALID_VALUE when some of it is not mapped.
    AllocationRef register_host(MemoryOwner owner, Address base, std::size_t size, unsigned flags);

    /// Makes memory known that comes from elsewhere: a mapping or a part of a pool. Whoever adds it
    /// also enters it into map().
    void add(AllocationRef allocation);
    /// The other way; null when another thread was quicker.
    AllocationRef forget(Address base, MemoryKind kind);

    /// Ends the allocation that begins there, if it is of a kind that `fits`; null when there is
    /// none.
    template <class Fits>
    AllocationRef remove(Address base, Fits fits) {
        std::unique_lock lock(mutex_);
        const auto found = allocations_.find(base);
        if (found == allocations_.end() || !fits(*found->second)) return nullptr;
        AllocationRef allocation = found->second;
        allocations_.erase(found);
        lock.unlock();
        release(*allocation);
        return allocation;
    }
    /// Ends everything that the context owns, except variables, which go with their programs.
    void remove_context(CUcontext context);

    /// The allocation that holds this address, or null.
    [[nodiscard]] AllocationRef find(Address address) const;
    /// A number for an allocation that no other of this process ever gets.
    std::uint64_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
    /// Whether all these bytes may be touched: they lie in one allocation, or in mappings that
    /// follow one another.
    [[nodiscard]] bool holds(Address address, std::size_t bytes) const;

private:
    using Allocations = std::map<Address, AllocationRef>;

    AllocationRef insert(std::shared_ptr<Allocation> allocation);
    /// What holds this address, or the end; the lock is held.
    [[nodiscard]] Allocations::const_iterator locate(Address address) const;
    void release(const Allocation& allocation);

    AddressSpace space_;
    exec::MemoryMap map_;
    mutable std::shared_mutex mutex_;
    Allocations allocations_;
    std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace cubar::softgpu::device
