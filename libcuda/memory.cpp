// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "driver/log.h"
#include "libcuda/capture_rules.h"
#include "libcuda/pinned.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

/// An allocation as the host made it.
struct Allocated {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;  ///< that it occupies
};

CUresult free_on_host(const Caller& caller, cubar::ContextHandle context, std::uint64_t address) {
    wire::cuMemFree_v2::Request request{};
    request.address = address;
    wire::cuMemFree_v2::Reply reply{};
    return call_in<wire::cuMemFree_v2>(caller, context, {}, request, reply);
}

/// Allocates by `allocate(Allocated&)` until the addresses are free in this process as well. What
/// collides is held until a fitting one is found, so that the host does not offer it again.
template <typename Allocate>
CUresult allocate_apart(const Caller& caller, Allocate&& allocate, Allocated& out) {
    constexpr std::size_t kAttempts = 16;
    std::array<Allocated, kAttempts> collided;
    std::size_t collisions = 0;
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    while (collisions < kAttempts) {
        result = allocate(out);
        if (result != CUDA_SUCCESS) break;
        if (caller.session->reservations.reserve(out.address, out.bytes)) break;
        CUBAR_LOG(kInfo, "device addresses at %#llx are taken in this process, asking for others",
                  static_cast<unsigned long long>(out.address));
        collided[collisions++] = out;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (std::size_t index = 0; index < collisions; ++index) {
        free_on_host(caller, caller.context->handle, collided[index].address);
    }
    return result;
}

void remember(const Caller& caller, const Allocated& made, std::uint64_t asked) {
    MemoryRange range;
    range.begin = made.address;
    range.bytes = asked;
    range.reserved = made.bytes;
    range.kind = MemoryKind::kDevice;
    range.context = caller.context->handle;
    range.device = caller.context->device;
    caller.session->addresses.add(range);
}

CUresult explained(CUresult result, std::size_t bytes) {
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        CUBAR_LOG(kWarn,
                  "no %zu bytes of device memory are left: free some, end other programs, or raise "
                  "this VM's quota ('memory' in cubard's configuration)",
                  bytes);
    }
    return result;
}

}  // namespace

CUBAR_API cuMemAlloc_v2(CUdeviceptr* out, std::size_t bytes) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocated made;
    const auto allocate = [&](Allocated& allocated) {
        wire::cuMemAlloc_v2::Request request{};
        request.bytes = bytes;
        wire::cuMemAlloc_v2::Reply reply{};
        CUBAR_TRY(call_in<wire::cuMemAlloc_v2>(caller, caller.context->handle, {}, request, reply));
        allocated = {reply.address, reply.bytes};
        return CUDA_SUCCESS;
    };
    CUBAR_TRY(explained(allocate_apart(caller, allocate, made), bytes));
    remember(caller, made, bytes);
    *out = made.address;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemAllocPitch_v2(CUdeviceptr* out, std::size_t* pitch, std::size_t width,
                             std::size_t height, unsigned int element_bytes) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (out == nullptr || pitch == nullptr || width == 0 || height == 0 ||
        (element_bytes != 4 && element_bytes != 8 && element_bytes != 16)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Allocated made;
    const auto allocate = [&](Allocated& allocated) {
        wire::cuMemAllocPitch_v2::Request request{};
        request.width_bytes = width;
        request.height = height;
        request.element_bytes = element_bytes;
        wire::cuMemAllocPitch_v2::Reply reply{};
        CUBAR_TRY(
            call_in<wire::cuMemAllocPitch_v2>(caller, caller.context->handle, {}, request, reply));
        allocated = {reply.address, reply.bytes};
        *pitch = reply.pitch;
        return CUDA_SUCCESS;
    };
    CUBAR_TRY(explained(allocate_apart(caller, allocate, made), width * height));
    remember(caller, made, *pitch * height);
    *out = made.address;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemFree_v2(CUdeviceptr address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (address == 0) return CUDA_SUCCESS;
    const auto range = caller.session->addresses.find(address);
    if (!range || range->begin != address || !range->on_device() || range->code ||
        range->kind == MemoryKind::kMapped) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (range->kind == MemoryKind::kManaged) return free_shared(caller, *range);
    if (range->kind == MemoryKind::kGraph) {
        // The address stays its graph's, if that is still there.
        CUBAR_TRY(free_on_host(caller, caller.context->handle, address));
        caller.session->graph_memory.forget_ended(caller);
        return CUDA_SUCCESS;
    }
    // Forgotten first: once the host has freed it, another thread may be given the same address.
    if (!caller.session->addresses.remove(address)) return CUDA_ERROR_INVALID_VALUE;
    // Memory of a pool belongs to no context.
    const auto context = range->context ? range->context : caller.context->handle;
    const CUresult result = free_on_host(caller, context, address);
    if (result == CUDA_SUCCESS) {
        caller.session->reservations.release(address, range->reserved);
    } else {
        caller.session->addresses.restore(*range);
    }
    return result;
}

CUBAR_API cuMemGetAddressRange_v2(CUdeviceptr* base, std::size_t* bytes, CUdeviceptr address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    const auto range = caller.session->addresses.find(address);
    if (!range) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = range->begin;
    if (bytes != nullptr) *bytes = range->bytes;
    return CUDA_SUCCESS;
}
