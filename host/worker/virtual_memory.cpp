// SPDX-License-Identifier: Apache-2.0
#include "host/worker/virtual_memory.h"

#include <iterator>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"

namespace cubar::host {

MemoryHandle VirtualMemory::adopt(CUmemGenericAllocationHandle memory, CUdevice device) {
    return memories_.adopt([&](MemoryObject& object) { object = {memory, device, 1, 0}; });
}

MemoryObject* VirtualMemory::held(MemoryHandle handle) const {
    MemoryObject* object = memories_.find(handle);
    return object != nullptr && object->references != 0 ? object : nullptr;
}

MemoryHandle VirtualMemory::mapped_at(std::uint64_t address) const {
    const auto above = mappings_.upper_bound(address);
    if (above == mappings_.begin()) return {};
    const auto& [begin, mapping] = *std::prev(above);
    return address - begin < mapping.bytes ? mapping.memory : MemoryHandle();
}

void VirtualMemory::referenced(MemoryHandle handle, CUmemGenericAllocationHandle memory) {
    MemoryObject* object = memories_.find(handle);
    ++object->references;
    object->memory = memory;
}

void VirtualMemory::released(MemoryHandle handle) {
    --memories_.find(handle)->references;
    settle(handle);
}

void VirtualMemory::mapped(std::uint64_t address, std::uint64_t bytes, MemoryHandle handle) {
    ++memories_.find(handle)->mappings;
    mappings_.insert_or_assign(address, Mapping{bytes, handle});
}

void VirtualMemory::unmapped(std::uint64_t address, std::uint64_t bytes) {
    for (auto it = mappings_.lower_bound(address);
         it != mappings_.end() && it->first - address < bytes;) {
        const MemoryHandle handle = it->second.memory;
        it = mappings_.erase(it);
        --memories_.find(handle)->mappings;
        settle(handle);
    }
}

void VirtualMemory::settle(MemoryHandle handle) {
    const MemoryObject* object = memories_.find(handle);
    if (object->references != 0 || object->mappings != 0) return;
    memories_.forget(handle);
    const auto charge = allocations_.take(handle.bits());
}

namespace {

CUmemAllocationProp properties(CUdevice device, std::uint32_t compression) {
    CUmemAllocationProp asked{};
    asked.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    asked.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    asked.allocFlags.compressionType = static_cast<unsigned char>(compression);
    return asked;
}

}  // namespace

CUresult handle_cuMemAddressReserve(Session& session, const transport::Record&,
                                    const wire::cuMemAddressReserve::Request& request,
                                    std::span<const std::byte>,
                                    wire::cuMemAddressReserve::Reply& reply) {
    CUdeviceptr address = 0;
    CUBAR_TRY(ask(session.driver().cuMemAddressReserve, &address, request.bytes, request.alignment,
                  request.wished, 0ull));
    reply.address = address;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemAddressFree(Session& session, const transport::Record&,
                                 const wire::cuMemAddressFree::Request& request,
                                 std::span<const std::byte>, wire::cuMemAddressFree::Reply&) {
    return ask(session.driver().cuMemAddressFree, request.address, request.bytes);
}

CUresult handle_cuMemCreate(Session& session, const transport::Record&,
                            const wire::cuMemCreate::Request& request, std::span<const std::byte>,
                            wire::cuMemCreate::Reply& reply) {
    const Driver& driver = session.driver();
    CUdevice device = 0;
    CUBAR_TRY(ask(driver.cuDeviceGet, &device, request.device));
    if (request.bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    auto charge = session.charge(device, request.bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUmemAllocationProp asked = properties(device, request.compression);
    CUmemGenericAllocationHandle memory = 0;
    CUBAR_TRY(ask(driver.cuMemCreate, &memory, request.bytes, &asked, 0ull));
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    reply.memory = known.adopt(memory, device);
    if (!reply.memory) {
        ask(driver.cuMemRelease, memory);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    charge.keep(reply.memory.bits(), {});
    return CUDA_SUCCESS;
}

CUresult handle_cuMemRelease(Session& session, const transport::Record&,
                             const wire::cuMemRelease::Request& request, std::span<const std::byte>,
                             wire::cuMemRelease::Reply&) {
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    const MemoryObject* object = known.held(request.memory);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(ask(session.driver().cuMemRelease, object->memory));
    known.released(request.memory);
    return CUDA_SUCCESS;
}

CUresult handle_cuMemMap(Session& session, const transport::Record&,
                         const wire::cuMemMap::Request& request, std::span<const std::byte>,
                         wire::cuMemMap::Reply& reply) {
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    const MemoryObject* object = known.held(request.memory);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(ask(session.driver().cuMemMap, request.address, request.bytes, request.offset,
                  object->memory, 0ull));
    known.mapped(request.address, request.bytes, request.memory);
    reply.device = object->device;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemUnmap(Session& session, const transport::Record&,
                           const wire::cuMemUnmap::Request& request, std::span<const std::byte>,
                           wire::cuMemUnmap::Reply&) {
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    CUBAR_TRY(ask(session.driver().cuMemUnmap, request.address, request.bytes));
    known.unmapped(request.address, request.bytes);
    return CUDA_SUCCESS;
}

CUresult handle_cuMemSetAccess(Session& session, const transport::Record&,
                               const wire::cuMemSetAccess::Request& request,
                               std::span<const std::byte>, wire::cuMemSetAccess::Reply&) {
    CUmemAccessDesc wanted{};
    wanted.location = {CU_MEM_LOCATION_TYPE_DEVICE, request.device};
    wanted.flags = static_cast<CUmemAccess_flags>(request.access);
    return ask(session.driver().cuMemSetAccess, request.address, request.bytes,
               static_cast<const CUmemAccessDesc*>(&wanted), std::size_t{1});
}

CUresult handle_cuMemGetAccess(Session& session, const transport::Record&,
                               const wire::cuMemGetAccess::Request& request,
                               std::span<const std::byte>, wire::cuMemGetAccess::Reply& reply) {
    const CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, request.device};
    unsigned long long access = 0;
    CUBAR_TRY(ask(session.driver().cuMemGetAccess, &access, &location, request.address));
    reply.access = access;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemGetAllocationGranularity(
    Session& session, const transport::Record&,
    const wire::cuMemGetAllocationGranularity::Request& request, std::span<const std::byte>,
    wire::cuMemGetAllocationGranularity::Reply& reply) {
    const CUmemAllocationProp asked = properties(request.device, request.compression);
    std::size_t granularity = 0;
    CUBAR_TRY(ask(session.driver().cuMemGetAllocationGranularity, &granularity, &asked,
                  static_cast<CUmemAllocationGranularity_flags>(request.option)));
    reply.granularity = granularity;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemGetAllocationPropertiesFromHandle(
    Session& session, const transport::Record&,
    const wire::cuMemGetAllocationPropertiesFromHandle::Request& request,
    std::span<const std::byte>, wire::cuMemGetAllocationPropertiesFromHandle::Reply& reply) {
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    const MemoryObject* object = known.held(request.memory);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUmemAllocationProp got{};
    CUBAR_TRY(ask(session.driver().cuMemGetAllocationPropertiesFromHandle, &got, object->memory));
    reply.device = object->device;
    reply.compression = got.allocFlags.compressionType;
    return CUDA_SUCCESS;
}

CUresult handle_cuMemRetainAllocationHandle(
    Session& session, const transport::Record&,
    const wire::cuMemRetainAllocationHandle::Request& request, std::span<const std::byte>,
    wire::cuMemRetainAllocationHandle::Reply& reply) {
    VirtualMemory& known = session.virtual_memory();
    const auto lock = known.lock();
    const MemoryHandle handle = known.mapped_at(request.address);
    if (!handle) return CUDA_ERROR_INVALID_VALUE;
    CUmemGenericAllocationHandle memory = 0;
    CUBAR_TRY(ask(session.driver().cuMemRetainAllocationHandle, &memory,
                  reinterpret_cast<void*>(request.address)));
    known.referenced(handle, memory);
    reply.memory = handle;
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
