// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <mutex>

#include "driver/log.h"
#include "softgpu/device/error.h"

namespace cubar::softgpu::device {
namespace {

void* at(Address address) {
    return reinterpret_cast<void*>(address);
}

std::size_t host_page() {
    static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

/// Whether every page of the range is mapped in this process.
bool is_mapped(Address base, std::size_t size) {
    const Address first = base / host_page() * host_page();
    std::vector<unsigned char> resident((base + size - first + host_page() - 1) / host_page());
    return mincore(at(first), base + size - first, resident.data()) == 0;
}

void unmap(const Allocation& pinned) {
    munmap(at(pinned.base), round_up(pinned.size, host_page()));
}

std::shared_ptr<Allocation> describe(MemoryOwner owner, Address base, std::size_t size,
                                     MemoryKind kind, unsigned flags) {
    auto allocation = std::make_shared<Allocation>();
    allocation->base = base;
    allocation->size = size;
    allocation->kind = kind;
    allocation->context = owner.context;
    allocation->device = owner.device;
    allocation->flags = flags;
    return allocation;
}

}  // namespace

Memory::Memory(bool strict) : space_(strict) {}

Memory::~Memory() {
    // The heaps lie in this object's address space, so they ended before it, and took theirs along.
    for (const auto& [base, allocation] : allocations_)
        if (allocation->kind == MemoryKind::kPinned) unmap(*allocation);
}

AllocationRef Memory::allocate(Heap& heap, MemoryOwner owner, std::size_t size, MemoryKind kind,
                               unsigned flags) {
    const auto base = heap.allocate(size);
    if (!base) throw Error(CUDA_ERROR_OUT_OF_MEMORY, "device memory is exhausted");
    auto allocation = describe(owner, *base, size, kind, flags);
    allocation->heap = &heap;
    return insert(std::move(allocation));
}

AllocationRef Memory::allocate_pinned(MemoryOwner owner, std::size_t size, unsigned flags) {
    void* host = size <= SIZE_MAX / 2
                     ? mmap(nullptr, round_up(size, host_page()), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                     : MAP_FAILED;
    if (host == MAP_FAILED) throw Error(CUDA_ERROR_OUT_OF_MEMORY, "host memory is exhausted");
    return insert(
        describe(owner, reinterpret_cast<Address>(host), size, MemoryKind::kPinned, flags));
}

AllocationRef Memory::register_host(MemoryOwner owner, Address base, std::size_t size,
                                    unsigned flags) {
    require_value(size <= ~base && is_mapped(base, size), "the range is not mapped");
    return insert(describe(owner, base, size, MemoryKind::kRegistered, flags));
}

AllocationRef Memory::insert(std::shared_ptr<Allocation> allocation) {
    allocation->id = next_id();
    std::unique_lock lock(mutex_);
    if (allocation->kind == MemoryKind::kVariable) {
        allocations_.emplace(allocation->base, allocation);
        return allocation;
    }
    // Only registered memory can overlap: everything else is fresh.
    if (!map_.add(allocation->base, allocation->size))
        throw Error(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "the range overlaps a known one");
    allocations_.emplace(allocation->base, allocation);
    return allocation;
}

void Memory::add(AllocationRef allocation) {
    allocation->id = next_id();
    std::unique_lock lock(mutex_);
    const Address base = allocation->base;
    allocations_.insert_or_assign(base, std::move(allocation));
}

AllocationRef Memory::forget(Address base, MemoryKind kind) {
    std::unique_lock lock(mutex_);
    const auto found = allocations_.find(base);
    if (found == allocations_.end() || found->second->kind != kind) return nullptr;
    AllocationRef allocation = found->second;
    allocations_.erase(found);
    return allocation;
}

void Memory::release(const Allocation& allocation) {
    if (allocation.kind != MemoryKind::kVariable && !map_.remove(allocation.base))
        CUBAR_LOG(kError, "softgpu: %#lx was not in the memory map", allocation.base);
    if (allocation.heap != nullptr)
        allocation.heap->free(allocation.base);
    else if (allocation.kind == MemoryKind::kPinned)
        unmap(allocation);
}

void Memory::remove_context(CUcontext context) {
    std::vector<AllocationRef> removed;
    {
        std::unique_lock lock(mutex_);
        for (auto it = allocations_.begin(); it != allocations_.end();) {
            const Allocation& allocation = *it->second;
            if (allocation.context == context && allocation.kind != MemoryKind::kVariable) {
                removed.push_back(it->second);
                it = allocations_.erase(it);
            } else {
                ++it;
            }
        }
    }
    for (const AllocationRef& allocation : removed) release(*allocation);
}

AllocationRef Memory::find(Address address) const {
    std::shared_lock lock(mutex_);
    const auto found = locate(address);
    return found != allocations_.end() ? found->second : nullptr;
}

bool Memory::holds(Address address, std::size_t bytes) const {
    std::shared_lock lock(mutex_);
    for (auto place = locate(address); place != allocations_.end(); ++place) {
        const Allocation& allocation = *place->second;
        if (!allocation.accessible) return false;
        if (allocation.contains(address, bytes)) return true;
        const Address end = allocation.base + allocation.size;
        bytes -= std::min(bytes, end - address);
        address = end;
        const auto next = std::next(place);
        if (allocation.kind != MemoryKind::kMapped || next == allocations_.end() ||
            next->second->kind != MemoryKind::kMapped || next->first != end)
            return false;
    }
    return false;
}

Memory::Allocations::const_iterator Memory::locate(Address address) const {
    const auto above = allocations_.upper_bound(address);
    if (above == allocations_.begin()) return allocations_.end();
    const auto candidate = std::prev(above);
    const Allocation& allocation = *candidate->second;
    return address - allocation.base < allocation.size ? candidate : allocations_.end();
}

}  // namespace cubar::softgpu::device
