// SPDX-License-Identifier: Apache-2.0
// Memory that is allocated and freed in the order of streams, and the pools that it comes from.
// They are the host's driver's; the guest keeps their addresses free of its own mappings and knows
// what is allocated, for pointer attributes and copies.
#include "libcuda/memory_pool.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "driver/log.h"
#include "libcuda/capture_rules.h"
#include "libcuda/context.h"
#include "libcuda/memory_location.h"

namespace wire = cubar::wire;

namespace cubar::guest {

void observe_frees(const Caller& caller, ContextHandle context, StreamHandle stream,
                   bool whole_context) {
    std::atomic<bool>& freed = caller.session->freed_in_stream;
    if (!freed.load(std::memory_order_relaxed) || !freed.exchange(false)) return;
    wire::pool_observe::Request request{};
    request.stream = stream;
    request.whole_context = whole_context ? 1 : 0;
    wire::pool_observe::Reply reply{};
    const CUresult result = call_in<wire::pool_observe>(caller, context, stream, request, reply);
    // What failed, the wait itself has reported or the next one will.
    if (result != CUDA_SUCCESS || reply.again != 0) freed.store(true);
    caller.session->graph_memory.forget_ended(caller);
}

}  // namespace cubar::guest

using namespace cubar::guest;

namespace {

/// An allocation as the host made it.
struct Allocated {
    std::uint64_t address = 0;
    cubar::MemoryPoolHandle pool;
    std::int32_t device = 0;
};

/// A stream that memory is allocated or freed in.
struct Place {
    Caller caller;
    Stream* stream = nullptr;
};

CUresult find_place(CUstream value, Place& out) {
    CUBAR_TRY(enter(out.caller));
    CUBAR_TRY(find_stream(out.caller, value, out.stream));
    Captures& captures = out.caller.session->captures;
    return captures.any() ? captures.check_work(*out.caller.session, *out.stream) : CUDA_SUCCESS;
}

CUresult post_free(const Place& place, std::uint64_t address) {
    wire::cuMemFreeAsync::Request request{};
    request.address = address;
    CUBAR_TRY(post<wire::cuMemFreeAsync>(place.caller, *place.stream, request));
    place.caller.session->freed_in_stream.store(true, std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

/// Allocates by `allocate(Allocated&)` until the addresses are free in this process as well. What
/// collides is held until a fitting one is found, so that the host does not offer it again.
template <typename Allocate>
CUresult allocate_apart(const Place& place, std::size_t bytes, Allocate&& allocate,
                        Allocated& out) {
    constexpr std::size_t kAttempts = 16;
    std::array<std::uint64_t, kAttempts> collided{};
    std::size_t collisions = 0;
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    while (collisions < kAttempts) {
        result = allocate(out);
        if (result != CUDA_SUCCESS) break;
        if (place.caller.session->reservations.reserve(out.address, bytes)) break;
        CUBAR_LOG(kInfo, "device addresses at %#llx are taken in this process, asking for others",
                  static_cast<unsigned long long>(out.address));
        collided[collisions++] = out.address;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (std::size_t index = 0; index < collisions; ++index) post_free(place, collided[index]);
    return result;
}

template <typename Allocate>
CUresult allocate(CUdeviceptr* out, std::size_t bytes, CUstream stream, Allocate&& ask) {
    Place place;
    CUBAR_TRY(find_place(stream, place));
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocated made;
    if (is_capturing(*place.stream)) {
        const auto captured = [&](GraphMemory::Made& out_made) {
            const CUresult result = ask(place, made);
            out_made = {made.address,
                        place.caller.process->ordinal_of(static_cast<std::uint32_t>(made.device))};
            return result;
        };
        return allocate_in_capture(place.caller, *place.stream, bytes, captured, *out);
    }
    CUBAR_TRY(allocate_apart(
        place, bytes, [&](Allocated& allocated) { return ask(place, allocated); }, made));
    MemoryRange range;
    range.begin = made.address;
    range.bytes = bytes;
    range.reserved = bytes;
    range.kind = MemoryKind::kPooled;
    range.device = place.caller.process->ordinal_of(static_cast<std::uint32_t>(made.device));
    range.source = made.pool;
    place.caller.session->addresses.add(range);
    *out = made.address;
    return CUDA_SUCCESS;
}

cubar::MemoryPoolHandle handle_of(CUmemoryPool pool) {
    return cubar::MemoryPoolHandle(bits_of(pool));
}

/// One of a device's pools.
template <typename W>
CUresult get_pool(CUmemoryPool* out, CUdevice device) {
    Caller caller;
    typename W::Request request{};
    CUBAR_TRY(device_of(device, request.device));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(enter_or_begin(caller));
    typename W::Reply reply{};
    CUBAR_TRY(call_in<W>(caller, {}, {}, request, reply));
    *out = pointer_to<CUmemoryPool>(reply.pool);
    return CUDA_SUCCESS;
}

/// The device whose pools a location means.
CUresult pool_location(const CUmemLocation* location, CUmemAllocationType type) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (location == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(check_plain(type, CU_MEM_HANDLE_TYPE_NONE));
    std::int32_t device = 0;
    return device_at(*location, device);
}

/// Before anything is read or written through a pointer to an attribute's value.
bool is_known(CUmemPool_attribute attribute) {
    return attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
           attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH;
}

/// The others are 64 bits wide.
bool is_int(CUmemPool_attribute attribute) {
    return attribute == CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC ||
           attribute == CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

}  // namespace

CUBAR_API cuMemAllocAsync(CUdeviceptr* out, std::size_t bytes, CUstream stream) {
    return allocate(out, bytes, stream, [&](const Place& place, Allocated& allocated) {
        wire::cuMemAllocAsync::Request request{};
        request.stream = place.stream->handle;
        request.bytes = bytes;
        wire::cuMemAllocAsync::Reply reply{};
        CUBAR_TRY(call_in<wire::cuMemAllocAsync>(place.caller, place.stream->context,
                                                 place.stream->handle, request, reply));
        allocated = {reply.address, reply.pool, reply.device};
        return CUDA_SUCCESS;
    });
}

CUBAR_API cuMemAllocFromPoolAsync(CUdeviceptr* out, std::size_t bytes, CUmemoryPool pool,
                                  CUstream stream) {
    return allocate(out, bytes, stream, [&](const Place& place, Allocated& allocated) {
        wire::cuMemAllocFromPoolAsync::Request request{};
        request.stream = place.stream->handle;
        request.pool = handle_of(pool);
        request.bytes = bytes;
        wire::cuMemAllocFromPoolAsync::Reply reply{};
        CUBAR_TRY(call_in<wire::cuMemAllocFromPoolAsync>(place.caller, place.stream->context,
                                                         place.stream->handle, request, reply));
        allocated = {reply.address, request.pool, reply.device};
        return CUDA_SUCCESS;
    });
}

CUBAR_API cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    Place place;
    CUBAR_TRY(find_place(stream, place));
    AddressMap& addresses = place.caller.session->addresses;
    const auto range = addresses.find(address);
    if (!range || range->begin != address) return CUDA_ERROR_INVALID_VALUE;
    if (range->kind == MemoryKind::kGraph) {
        CUBAR_TRY(free_graph_memory(place.caller, *place.stream, address));
        if (!is_capturing(*place.stream)) {
            place.caller.session->freed_in_stream.store(true, std::memory_order_relaxed);
        }
        return CUDA_SUCCESS;
    }
    // A capture frees what a graph has allocated, and nothing else.
    if (range->kind != MemoryKind::kPooled || is_capturing(*place.stream)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // Forgotten first: once the host has freed it, another thread may be given the same address.
    if (!addresses.remove(address)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = post_free(place, address);
    if (result == CUDA_SUCCESS) {
        place.caller.session->reservations.release(address, range->reserved);
    } else {
        addresses.restore(*range);
    }
    return result;
}

CUBAR_API cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (out == nullptr || properties == nullptr || properties->win32SecurityAttributes != nullptr ||
        std::any_of(std::begin(properties->reserved), std::end(properties->reserved),
                    [](unsigned char byte) { return byte != 0; })) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    CUBAR_TRY(check_plain(properties->allocType, properties->handleTypes));
    if (properties->usage != 0) return CUDA_ERROR_NOT_SUPPORTED;
    wire::cuMemPoolCreate::Request request{};
    CUBAR_TRY(device_at(properties->location, request.device));
    request.limit = properties->maxSize;
    wire::cuMemPoolCreate::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemPoolCreate>(caller, {}, {}, request, reply));
    *out = pointer_to<CUmemoryPool>(reply.pool);
    return CUDA_SUCCESS;
}

CUBAR_API cuMemPoolDestroy(CUmemoryPool pool) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    wire::cuMemPoolDestroy::Reply reply{};
    return call_in<wire::cuMemPoolDestroy>(caller, {}, {}, {handle_of(pool)}, reply);
}

CUBAR_API cuMemPoolTrimTo(CUmemoryPool pool, std::size_t keep) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    wire::cuMemPoolTrimTo::Request request{};
    request.pool = handle_of(pool);
    request.keep = keep;
    wire::cuMemPoolTrimTo::Reply reply{};
    return call_in<wire::cuMemPoolTrimTo>(caller, {}, {}, request, reply);
}

CUBAR_API cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (value == nullptr || !is_known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemPoolSetAttribute::Request request{};
    request.pool = handle_of(pool);
    request.value = is_int(attribute) ? static_cast<std::uint64_t>(*static_cast<const int*>(value))
                                      : *static_cast<const cuuint64_t*>(value);
    request.attribute = attribute;
    wire::cuMemPoolSetAttribute::Reply reply{};
    return call_in<wire::cuMemPoolSetAttribute>(caller, {}, {}, request, reply);
}

CUBAR_API cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (value == nullptr || !is_known(attribute)) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemPoolGetAttribute::Request request{};
    request.pool = handle_of(pool);
    request.attribute = attribute;
    wire::cuMemPoolGetAttribute::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemPoolGetAttribute>(caller, {}, {}, request, reply));
    if (is_int(attribute)) {
        *static_cast<int*>(value) = static_cast<int>(reply.value);
    } else {
        *static_cast<cuuint64_t*>(value) = reply.value;
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* wanted, std::size_t count) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (wanted == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (const CUmemAccessDesc& each : std::span(wanted, count)) {
        wire::cuMemPoolSetAccess::Request request{};
        request.pool = handle_of(pool);
        CUBAR_TRY(device_at(each.location, request.device));
        request.access = each.flags;
        wire::cuMemPoolSetAccess::Reply reply{};
        CUBAR_TRY(call_in<wire::cuMemPoolSetAccess>(caller, {}, {}, request, reply));
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool pool, CUmemLocation* location) {
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    if (flags == nullptr || location == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMemPoolGetAccess::Request request{};
    request.pool = handle_of(pool);
    CUBAR_TRY(device_at(*location, request.device));
    wire::cuMemPoolGetAccess::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMemPoolGetAccess>(caller, {}, {}, request, reply));
    *flags = static_cast<CUmemAccess_flags>(reply.access);
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice device) {
    return get_pool<wire::cuDeviceGetDefaultMemPool>(out, device);
}

CUBAR_API cuDeviceGetMemPool(CUmemoryPool* out, CUdevice device) {
    return get_pool<wire::cuDeviceGetMemPool>(out, device);
}

CUBAR_API cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool) {
    Caller caller;
    wire::cuDeviceSetMemPool::Request request{};
    CUBAR_TRY(device_of(device, request.device));
    CUBAR_TRY(enter_or_begin(caller));
    request.pool = handle_of(pool);
    wire::cuDeviceSetMemPool::Reply reply{};
    return call_in<wire::cuDeviceSetMemPool>(caller, {}, {}, request, reply);
}

CUBAR_API cuMemGetDefaultMemPool(CUmemoryPool* out, CUmemLocation* location,
                                 CUmemAllocationType type) {
    CUBAR_TRY(pool_location(location, type));
    return cuDeviceGetDefaultMemPool(out, location->id);
}

CUBAR_API cuMemGetMemPool(CUmemoryPool* out, CUmemLocation* location, CUmemAllocationType type) {
    CUBAR_TRY(pool_location(location, type));
    return cuDeviceGetMemPool(out, location->id);
}

CUBAR_API cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
    CUBAR_TRY(pool_location(location, type));
    return cuDeviceSetMemPool(location->id, pool);
}
