// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cubar/host/dispatch.h"
#include "host/common/control_client.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// What the driver rounds allocations up to, at the least.
constexpr std::uint64_t kAllocationUnit = 512;

bool round_up(std::uint64_t bytes, std::uint64_t& rounded) {
    return !__builtin_add_overflow(bytes, kAllocationUnit - 1, &rounded) &&
           (rounded &= ~(kAllocationUnit - 1), true);
}

/// Charges `bytes`, allocates by `allocate(CUdeviceptr*)`, and asks how much that occupies.
template <typename Allocate, typename Reply>
CUresult allocate_charged(Session& session, ContextHandle context, std::uint64_t bytes,
                          Allocate&& allocate, Reply& reply) {
    const Driver& driver = session.driver();
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(context, device));
    auto charge = session.charge(device, bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    CUdeviceptr address = 0;
    CUBAR_TRY(allocate(&address));
    std::size_t occupied = 0;
    const CUresult result =
        ask(driver.cuMemGetAddressRange_v2, static_cast<CUdeviceptr*>(nullptr), &occupied, address);
    if (result != CUDA_SUCCESS) {
        ask(driver.cuMemFree_v2, address);
        return result;
    }
    charge.keep(address, context);
    reply.address = address;
    reply.bytes = std::max<std::uint64_t>(occupied, bytes);
    return CUDA_SUCCESS;
}

}  // namespace

CUresult handle_cuMemAlloc_v2(Session& session, const transport::Record& record,
                              const wire::cuMemAlloc_v2::Request& request,
                              std::span<const std::byte>, wire::cuMemAlloc_v2::Reply& reply) {
    std::uint64_t bytes = 0;
    if (request.bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!round_up(request.bytes, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    return allocate_charged(
        session, ContextHandle(record.header().context), bytes,
        [&](CUdeviceptr* address) {
            return ask(session.driver().cuMemAlloc_v2, address, request.bytes);
        },
        reply);
}

CUresult handle_cuMemAllocPitch_v2(Session& session, const transport::Record& record,
                                   const wire::cuMemAllocPitch_v2::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuMemAllocPitch_v2::Reply& reply) {
    std::uint64_t bytes = 0;
    if (request.width_bytes == 0 || request.height == 0) return CUDA_ERROR_INVALID_VALUE;
    // The pitch is a multiple of the unit on every GPU so far.
    if (!round_up(request.width_bytes, bytes) ||
        __builtin_mul_overflow(bytes, request.height, &bytes)) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return allocate_charged(
        session, ContextHandle(record.header().context), bytes,
        [&](CUdeviceptr* address) {
            std::size_t pitch = 0;
            const CUresult result = ask(session.driver().cuMemAllocPitch_v2, address, &pitch,
                                        request.width_bytes, request.height, request.element_bytes);
            reply.pitch = pitch;
            return result;
        },
        reply);
}

CUresult handle_cuMemFree_v2(Session& session, const transport::Record&,
                             const wire::cuMemFree_v2::Request& request, std::span<const std::byte>,
                             wire::cuMemFree_v2::Reply&) {
    // Credited before it is freed, another thread could be given memory that is not free yet;
    // after, it could be given the same address, whose charge would then be taken for this one.
    auto charge = session.allocations().take(request.address);
    const CUresult result = ask(session.driver().cuMemFree_v2, request.address);
    if (result != CUDA_SUCCESS) {
        charge.put_back();
    } else if (!charge) {
        session.pools().freed(request.address);
        session.graph_memory().settle();
    }
    return result;
}

CUresult handle_cuMemGetInfo_v2(Session& session, const transport::Record& record,
                                const wire::cuMemGetInfo_v2::Request&, std::span<const std::byte>,
                                wire::cuMemGetInfo_v2::Reply& reply) {
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(ContextHandle(record.header().context), device));
    session.pools().account();
    session.graph_memory().settle();
    std::size_t free = 0;
    std::size_t total = 0;
    CUBAR_TRY(ask(session.driver().cuMemGetInfo_v2, &free, &total));
    const auto ordinal = static_cast<std::uint32_t>(device);
    if (const auto usage = session.control().usage(ordinal)) {
        if (session.counts_own_memory_only()) {
            const std::uint64_t own = std::min(usage->used, session.allocations().held(ordinal));
            free -= std::min<std::uint64_t>(free, usage->used - own);
        }
        if (usage->quota != 0) {
            const std::uint64_t left = usage->quota - std::min(usage->used, usage->quota);
            free = std::min<std::uint64_t>(free, left);
            total = std::min<std::uint64_t>(total, usage->quota);
        }
    }
    reply.free = free;
    reply.total = total;
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
