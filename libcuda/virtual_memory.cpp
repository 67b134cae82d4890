// SPDX-License-Identifier: Apache-2.0
// Virtual memory management: reservations, physical memory and mappings. The host's driver has the
// last word on all of it; the guest keeps its own addresses free where a reservation lies, and
// knows what is mapped, for pointer attributes and copies.
#include <unistd.h>

#include <array>
#include <bit>
#include <span>
#include <vector>

#include "driver/log.h"
#include "libcuda/context.h"
#include "libcuda/memory_location.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

/// Fills in the device that properties ask for.
CUresult check(const CUmemAllocationProp* properties, std::int32_t& device) {
    if (properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(check_plain(properties->type, properties->requestedHandleTypes));
    if (properties->win32HandleMetaData != nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (properties->allocFlags.usage != 0 || properties->allocFlags.gpuDirectRDMACapable != 0) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return device_at(properties->location, device);
}

CUresult free_on_host(const Caller& caller, ReservedRanges::Range range) {
    wire::cuMemAddressFree::Request request{};
    request.address = range.begin;
    request.bytes = range.bytes;
    wire::cuMemAddressFree::Reply reply{};
    return call_in<wire::cuMemAddressFree>(caller, {}, {}, request, reply);
}

/// Reserves where this process has nothing of its own. What collides is held until a fitting range
/// is found, so that the host does not offer it again.
CUresult reserve_apart(const Caller& caller, wire::cuMemAddressReserve::Request request,
                       std::uint64_t& address) {
    constexpr std::size_t kAttempts = 16;
    std::array<std::uint64_t, kAttempts> collided{};
    std::size_t collisions = 0;
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    while (collisions < kAttempts) {
        wire::cuMemAddressReserve::Reply reply{};
        result = call_in<wire::cuMemAddressReserve>(caller, {}, {}, request, reply);
        if (result != CUDA_SUCCESS) break;
        address = reply.address;
        if (caller.session->reservations.reserve(address, request.bytes)) break;
        CUBAR_LOG(kInfo, "addresses at %#llx are taken in this process, asking for others",
                  static_cast<unsigned long long>(address));
        collided[collisions++] = address;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (std::size_t index = 0; index < collisions; ++index) {
        free_on_host(caller, {collided[index], request.bytes});
    }
    return result;
}

bool is_mapped(const Caller& caller, CUdeviceptr address) {
    const auto range = caller.session->addresses.find(address);
    return range && range->kind == MemoryKind::kMapped;
}

cubar::MemoryHandle handle_of(CUmemGenericAllocationHandle value) {
    return cubar::MemoryHandle(value);
}

}  // namespace

CUBAR_API cuMemAddressReserve(CUdeviceptr* out, std::size_t bytes, std::size_t alignment,
                              CUdeviceptr wished, unsigned long long flags) {
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr || bytes == 0 || flags != 0 || bytes % page != 0 || wished % page != 0 ||
        (alignment != 0 && !std::has_single_bit(alignment))) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    wire::cuMemAddressReserve::Request request{};
    request.bytes = bytes;
    request.alignment = alignment;
    request.wished = wished;
    std::uint64_t address = 0;
    CUBAR_TRY(reserve_apart(caller, request, address));
    caller.session->reserved.add({address, bytes});
    *out = address;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    const ReservedRanges::Range range{address, bytes};
    // Forgotten first: once the host has freed it, another thread may be given the same addresses.
    if (!caller.session->reserved.remove(range)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = free_on_host(caller, range);
    if (result == CUDA_SUCCESS) {
        caller.session->reservations.release(address, bytes);
    } else {
        caller.session->reserved.add(range);
    }
    return result;
}

CUBAR_API cuMemCreate(CUmemGenericAllocationHandle* out, std::size_t bytes,
                      const CUmemAllocationProp* properties, unsigned long long flags) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemCreate::Request request{};
    CUBAR_TRY(check(properties, request.device));
    request.bytes = bytes;
    request.compression = properties->allocFlags.compressionType;
    wire::cuMemCreate::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemCreate>(caller, {}, {}, request, reply));
    *out = reply.memory.bits();
    return CUDA_SUCCESS;
}

CUBAR_API cuMemRelease(CUmemGenericAllocationHandle memory) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    wire::cuMemRelease::Reply reply{};
    return call_in<wire::cuMemRelease>(caller, {}, {}, {handle_of(memory)}, reply);
}

CUBAR_API cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t offset,
                   CUmemGenericAllocationHandle memory, unsigned long long flags) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    const auto reserved = caller.session->reserved.find(address);
    if (flags != 0 || !reserved) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemMap::Request request{};
    request.address = address;
    request.bytes = bytes;
    request.offset = offset;
    request.memory = handle_of(memory);
    wire::cuMemMap::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemMap>(caller, {}, {}, request, reply));
    MemoryRange range;
    range.begin = address;
    range.bytes = bytes;
    range.kind = MemoryKind::kMapped;
    range.device = caller.process->ordinal_of(static_cast<std::uint32_t>(reply.device));
    range.accessible = false;
    range.source = request.memory;
    range.reservation = reserved->begin;
    range.reservation_bytes = reserved->bytes;
    caller.session->addresses.add(range);
    return CUDA_SUCCESS;
}

CUBAR_API cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    AddressMap& addresses = caller.session->addresses;
    std::vector<MemoryRange> mappings;
    // Forgotten first: once the host has unmapped it, another thread may map other memory there.
    if (!addresses.for_mappings(address, bytes,
                                [&](const MemoryRange& range) { mappings.push_back(range); })) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (const MemoryRange& range : mappings) addresses.remove(range.begin);
    wire::cuMemUnmap::Request request{};
    request.address = address;
    request.bytes = bytes;
    wire::cuMemUnmap::Reply reply{};
    const CUresult result = call_in<wire::cuMemUnmap>(caller, {}, {}, request, reply);
    if (result != CUDA_SUCCESS) {
        for (const MemoryRange& range : mappings) addresses.restore(range);
    }
    return result;
}

CUBAR_API cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* wanted,
                         std::size_t count) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (wanted == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    AddressMap& addresses = caller.session->addresses;
    if (!addresses.for_mappings(address, bytes, [](const MemoryRange&) {})) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const std::span descriptors(wanted, count);
    std::int32_t device = 0;
    for (const CUmemAccessDesc& each : descriptors) CUBAR_TRY(device_at(each.location, device));
    for (const CUmemAccessDesc& each : descriptors) {
        wire::cuMemSetAccess::Request request{};
        request.address = address;
        request.bytes = bytes;
        CUBAR_TRY(device_at(each.location, request.device));
        request.access = each.flags;
        wire::cuMemSetAccess::Reply reply{};
        CUBAR_TRY(call_in<wire::cuMemSetAccess>(caller, {}, {}, request, reply));
        addresses.for_mappings(address, bytes, [&](MemoryRange& range) {
            if (range.device == each.location.id) {
                range.accessible = each.flags != CU_MEM_ACCESS_FLAGS_PROT_NONE;
            }
        });
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location,
                         CUdeviceptr address) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (flags == nullptr || location == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemGetAccess::Request request{};
    CUBAR_TRY(device_at(*location, request.device));
    if (!is_mapped(caller, address)) return CUDA_ERROR_INVALID_VALUE;
    request.address = address;
    wire::cuMemGetAccess::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemGetAccess>(caller, {}, {}, request, reply));
    *flags = reply.access;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemGetAllocationGranularity(std::size_t* out, const CUmemAllocationProp* properties,
                                        CUmemAllocationGranularity_flags option) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                           option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    wire::cuMemGetAllocationGranularity::Request request{};
    CUBAR_TRY(check(properties, request.device));
    request.compression = properties->allocFlags.compressionType;
    request.option = option;
    wire::cuMemGetAllocationGranularity::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemGetAllocationGranularity>(caller, {}, {}, request, reply));
    *out = reply.granularity;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* out,
                                                 CUmemGenericAllocationHandle memory) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemGetAllocationPropertiesFromHandle::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemGetAllocationPropertiesFromHandle>(caller, {}, {},
                                                                    {handle_of(memory)}, reply));
    *out = CUmemAllocationProp{};
    out->type = CU_MEM_ALLOCATION_TYPE_PINNED;
    out->location = {CU_MEM_LOCATION_TYPE_DEVICE,
                     caller.process->ordinal_of(static_cast<std::uint32_t>(reply.device))};
    out->allocFlags.compressionType = static_cast<unsigned char>(reply.compression);
    return CUDA_SUCCESS;
}

CUBAR_API cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* out, void* address) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemRetainAllocationHandle::Request request{};
    request.address = reinterpret_cast<std::uint64_t>(address);
    wire::cuMemRetainAllocationHandle::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemRetainAllocationHandle>(caller, {}, {}, request, reply));
    *out = reply.memory.bits();
    return CUDA_SUCCESS;
}
