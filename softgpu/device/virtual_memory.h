// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/device/device.h"
#include "softgpu/device/handle_table.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/physical_memory.h"

namespace cubar::softgpu::device {

/// What cuMemCreate makes. Its handle stays taken until it is released and mapped nowhere, so that
/// cuMemRetainAllocationHandle can name a mapping's memory by the handle that mapped it.
struct PhysicalMemory {
    std::shared_ptr<const PhysicalStore::Pages> pages;
    CUmemAllocationProp properties{};
    std::uint64_t id = 0;     ///< unique in this process
    unsigned references = 1;  ///< that callers hold
    unsigned mappings = 0;
    CUmemGenericAllocationHandle handle = 0;
};

/// Physical memory at a place in a reservation.
struct Mapping final : Allocation {
    std::shared_ptr<PhysicalMemory> memory;
    Address reservation = 0;
    std::size_t reservation_size = 0;
};

/// The mapping, or null for memory of another kind.
inline const Mapping* as_mapping(const Allocation& allocation) {
    return allocation.kind == MemoryKind::kMapped ? static_cast<const Mapping*>(&allocation)
                                                  : nullptr;
}

/// cuMemCreate and its like: physical memory, reservations of addresses, and what is mapped where.
/// They belong to devices, not to contexts. Waits for nothing: before memory is unmapped or access
/// taken, the caller has made sure that no work in flight uses it. All functions throw
/// CUDA_ERROR_INVALID_VALUE for what is not so. Thread-safe.
class VirtualMemory {
public:
    using Handle = CUmemGenericAllocationHandle;

    explicit VirtualMemory(Memory& memory) : memory_(memory) {}

    /// Of a size in whole pages. Throws CUDA_ERROR_OUT_OF_MEMORY.
    Handle create(Device& device, std::size_t size, const CUmemAllocationProp& properties);
    void release(Handle handle);
    CUmemAllocationProp properties(Handle handle);
    /// The handle of the memory behind an address, with one more reference.
    Handle retain(Address address);

    /// Takes the wished place if it is free. Throws CUDA_ERROR_OUT_OF_MEMORY.
    Address reserve(std::size_t size, std::size_t alignment, Address wished);
    /// Ends a reservation in which nothing is mapped.
    void end_reservation(Address begin, std::size_t size);

    /// From the memory's first byte on.
    void map(Address begin, std::size_t size, Handle handle);
    /// Throws unless mappings fill the range and none exceeds it.
    void require_whole_mappings(Address begin, std::size_t size);
    void unmap(Address begin, std::size_t size);
    /// Grants or takes the access of the device whose memory it is.
    void set_access(Address begin, std::size_t size, int device, bool access);
    /// Whether that device may touch this address of a mapping.
    bool has_access(Address address, int device);

private:
    using MappingRef = std::shared_ptr<Mapping>;
    struct OpaqueHandle;
    using Table = HandleTable<PhysicalMemory, OpaqueHandle*, HandleKind::kPhysicalMemory>;

    static OpaqueHandle* to_pointer(Handle handle);
    // With the lock held.
    std::shared_ptr<PhysicalMemory> held(Handle handle);
    void let_go(PhysicalMemory& memory);
    MappingRef mapping_at(Address address);
    std::vector<MappingRef> whole_mappings(Address begin, std::size_t size);
    void show(Mapping& mapping, bool access);

    Memory& memory_;
    std::mutex mutex_;
    Table physical_;
    std::map<Address, std::size_t> reservations_;
    std::map<Address, MappingRef> mappings_;
};

}  // namespace cubar::softgpu::device
