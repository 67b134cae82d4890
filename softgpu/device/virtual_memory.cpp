// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/virtual_memory.h"

#include <algorithm>
#include <iterator>

#include "driver/log.h"
#include "softgpu/device/error.h"

namespace cubar::softgpu::device {

VirtualMemory::OpaqueHandle* VirtualMemory::to_pointer(Handle handle) {
    return reinterpret_cast<OpaqueHandle*>(static_cast<std::uintptr_t>(handle));
}

VirtualMemory::Handle VirtualMemory::create(Device& device, std::size_t size,
                                            const CUmemAllocationProp& properties) {
    require_value(size != 0 && size % kPageSize == 0, "not a multiple of the granularity");
    auto memory = std::make_shared<PhysicalMemory>();
    memory->pages = device.physical().take(size);
    require(memory->pages != nullptr, CUDA_ERROR_OUT_OF_MEMORY, "device memory is exhausted");
    memory->properties = properties;
    memory->id = memory_.next_id();
    std::lock_guard lock(mutex_);
    memory->handle = reinterpret_cast<std::uintptr_t>(physical_.insert(memory));
    return memory->handle;
}

std::shared_ptr<PhysicalMemory> VirtualMemory::held(Handle handle) {
    auto memory = physical_.find(to_pointer(handle));
    require_value(memory != nullptr && memory->references != 0, "not a handle of memory");
    return memory;
}

void VirtualMemory::let_go(PhysicalMemory& memory) {
    if (memory.references == 0 && memory.mappings == 0) physical_.remove(to_pointer(memory.handle));
}

void VirtualMemory::release(Handle handle) {
    std::lock_guard lock(mutex_);
    const auto memory = held(handle);
    --memory->references;
    let_go(*memory);
}

CUmemAllocationProp VirtualMemory::properties(Handle handle) {
    std::lock_guard lock(mutex_);
    return held(handle)->properties;
}

VirtualMemory::Handle VirtualMemory::retain(Address address) {
    std::lock_guard lock(mutex_);
    const MappingRef mapping = mapping_at(address);
    require_value(mapping != nullptr, "nothing is mapped there");
    ++mapping->memory->references;
    return mapping->memory->handle;
}

Address VirtualMemory::reserve(std::size_t size, std::size_t alignment, Address wished) {
    AddressSpace& space = memory_.space();
    require(size <= space.size(), CUDA_ERROR_OUT_OF_MEMORY, "more addresses than there are");
    const std::size_t whole = round_up(size, kPageSize);
    alignment = std::max(alignment, kPageSize);
    std::optional<Address> begin;
    if (wished != 0 && wished % alignment == 0) begin = space.reserve_at(wished, whole);
    if (!begin) begin = space.reserve(whole, alignment);
    require(begin.has_value(), CUDA_ERROR_OUT_OF_MEMORY, "addresses are exhausted");
    std::lock_guard lock(mutex_);
    reservations_.emplace(*begin, size);
    return *begin;
}

void VirtualMemory::end_reservation(Address begin, std::size_t size) {
    std::lock_guard lock(mutex_);
    const auto found = reservations_.find(begin);
    require_value(found != reservations_.end() && found->second == size,
                  "not a reservation of that size");
    const auto mapped = mappings_.lower_bound(begin);
    require_value(mapped == mappings_.end() || mapped->first - begin >= size,
                  "something is mapped in the reservation");
    reservations_.erase(found);
    memory_.space().release(begin, round_up(size, kPageSize));
}

void VirtualMemory::map(Address begin, std::size_t size, Handle handle) {
    require_value(size != 0 && begin % kPageSize == 0 && size % kPageSize == 0,
                  "not a multiple of the granularity");
    std::lock_guard lock(mutex_);
    const auto memory = held(handle);
    require_value(size <= memory->pages->size(), "more than the memory has");
    auto place = reservations_.upper_bound(begin);
    require_value(place != reservations_.begin(), "the addresses are not reserved");
    --place;
    const std::size_t inside = begin - place->first;
    require_value(inside < place->second && size <= place->second - inside,
                  "the addresses are not reserved");
    const auto above = mappings_.lower_bound(begin);
    const bool free =
        (above == mappings_.end() || above->first - begin >= size) && mapping_at(begin) == nullptr;
    require_value(free, "something is mapped there");
    require(memory->pages->map(memory_.space(), begin, size), CUDA_ERROR_OUT_OF_MEMORY,
            "the host is out of mappings");
    auto mapping = std::make_shared<Mapping>();
    mapping->base = begin;
    mapping->size = size;
    mapping->kind = MemoryKind::kMapped;
    mapping->device = memory->properties.location.id;
    mapping->accessible = false;
    mapping->memory = memory;
    mapping->reservation = place->first;
    mapping->reservation_size = place->second;
    ++memory->mappings;
    memory_.add(mapping);
    mappings_.emplace(begin, std::move(mapping));
}

VirtualMemory::MappingRef VirtualMemory::mapping_at(Address address) {
    const auto above = mappings_.upper_bound(address);
    if (above == mappings_.begin()) return nullptr;
    const MappingRef& candidate = std::prev(above)->second;
    return address - candidate->base < candidate->size ? candidate : nullptr;
}

std::vector<VirtualMemory::MappingRef> VirtualMemory::whole_mappings(Address begin,
                                                                     std::size_t size) {
    std::vector<MappingRef> found;
    std::size_t covered = 0;
    while (covered < size) {
        const auto next = mappings_.find(begin + covered);
        require_value(next != mappings_.end(), "the range is not made of whole mappings");
        found.push_back(next->second);
        covered += next->second->size;
    }
    require_value(size != 0 && covered == size, "the range is not made of whole mappings");
    return found;
}

void VirtualMemory::require_whole_mappings(Address begin, std::size_t size) {
    std::lock_guard lock(mutex_);
    whole_mappings(begin, size);
}

void VirtualMemory::unmap(Address begin, std::size_t size) {
    std::lock_guard lock(mutex_);
    for (const MappingRef& mapping : whole_mappings(begin, size)) {
        show(*mapping, false);
        memory_.forget(mapping->base, MemoryKind::kMapped);
        memory_.space().unmap(mapping->base, mapping->size);
        mappings_.erase(mapping->base);
        --mapping->memory->mappings;
        let_go(*mapping->memory);
    }
}

void VirtualMemory::show(Mapping& mapping, bool access) {
    if (mapping.accessible == access) return;
    if (access) {
        require(memory_.space().allow(mapping.base, mapping.size, true), CUDA_ERROR_OUT_OF_MEMORY,
                "the host is out of mappings");
        if (!memory_.map().add(mapping.base, mapping.size))
            CUBAR_LOG(kError, "softgpu: %#lx was in the memory map already", mapping.base);
    } else {
        if (!memory_.map().remove(mapping.base))
            CUBAR_LOG(kError, "softgpu: %#lx was not in the memory map", mapping.base);
        memory_.space().allow(mapping.base, mapping.size, false);
    }
    mapping.accessible = access;
}

void VirtualMemory::set_access(Address begin, std::size_t size, int device, bool access) {
    std::lock_guard lock(mutex_);
    const auto range = whole_mappings(begin, size);
    // One device reaches no other's memory.
    const bool own = std::all_of(range.begin(), range.end(),
                                 [&](const auto& mapping) { return mapping->device == device; });
    require(own, CUDA_ERROR_INVALID_DEVICE, "the memory of another device");
    for (const MappingRef& mapping : range) show(*mapping, access);
}

bool VirtualMemory::has_access(Address address, int device) {
    std::lock_guard lock(mutex_);
    const MappingRef mapping = mapping_at(address);
    require_value(mapping != nullptr, "nothing is mapped there");
    return mapping->device == device && mapping->accessible;
}

}  // namespace cubar::softgpu::device
