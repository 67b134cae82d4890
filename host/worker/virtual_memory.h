// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "cubar/handle.h"
#include "cubar/handle_table.h"
#include "host/worker/allocations.h"

namespace cubar::host {

/// Physical memory that the guest made with cuMemCreate.
struct MemoryObject {
    CUmemGenericAllocationHandle memory = 0;
    CUdevice device = 0;
    std::uint32_t references = 0;  ///< that the guest holds
    std::uint32_t mappings = 0;
};

/// Which of it is mapped where: memory is given back, and its charge with it, when the guest holds
/// no reference to it and no mapping of it is left. Until then its handle stays taken, since
/// cuMemRetainAllocationHandle may name it again. The functions are called under the lock.
class VirtualMemory {
public:
    explicit VirtualMemory(Allocations& allocations) : allocations_(allocations) {}

    [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

    /// A null handle: the table is full.
    MemoryHandle adopt(CUmemGenericAllocationHandle memory, CUdevice device);
    /// Null for a handle to which the guest holds no reference.
    MemoryObject* held(MemoryHandle handle) const;
    /// The memory that is mapped at this address; null handle: none.
    MemoryHandle mapped_at(std::uint64_t address) const;

    /// The driver has done it.
    void referenced(MemoryHandle handle, CUmemGenericAllocationHandle memory);
    void released(MemoryHandle handle);
    void mapped(std::uint64_t address, std::uint64_t bytes, MemoryHandle handle);
    void unmapped(std::uint64_t address, std::uint64_t bytes);

private:
    struct Mapping {
        std::uint64_t bytes;
        MemoryHandle memory;
    };
    /// Gives the memory's charge back if it has gone.
    void settle(MemoryHandle handle);

    Allocations& allocations_;
    std::mutex mutex_;
    HandleTable<Kind::kMemory, MemoryObject> memories_;
    std::map<std::uint64_t, Mapping> mappings_;
};

}  // namespace cubar::host
