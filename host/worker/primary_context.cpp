// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/context.h"

namespace cubar::host {
namespace {

ContextHandle primary_of(const Session& session, CUdevice device) {
    ContextHandle found;
    session.contexts.for_each([&](ContextHandle handle, const ContextObject& object) {
        if (object.primary && object.device == device) found = handle;
    });
    return found;
}

template <typename End>
CUresult end_primary(Session& session, std::int32_t ordinal, End&& end) {
    CUdevice device = 0;
    CUBAR_TRY(ask(session.driver().cuDeviceGet, &device, ordinal));
    const ContextHandle handle = primary_of(session, device);
    if (!handle) return CUDA_ERROR_INVALID_CONTEXT;
    forget_context(session, handle);
    const CUresult result = end(device);
    after_context(session, handle);
    return result;
}

}  // namespace

// The guest counts who retains it; here it is retained once, from the first until the last.
CUresult handle_cuDevicePrimaryCtxRetain(Session& session, const transport::Record&,
                                         const wire::cuDevicePrimaryCtxRetain::Request& request,
                                         std::span<const std::byte>,
                                         wire::cuDevicePrimaryCtxRetain::Reply& reply) {
    const Driver& driver = session.driver();
    CUdevice device = 0;
    CUBAR_TRY(ask(driver.cuDeviceGet, &device, request.dev));
    if (primary_of(session, device)) return CUDA_ERROR_INVALID_CONTEXT;
    auto charge = charge_context(session, device);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    CUcontext context = nullptr;
    CUBAR_TRY(ask(driver.cuDevicePrimaryCtxRetain, &context, device));
    ContextHandle handle;
    CUresult result = adopt_context(session, context, device, true, handle);
    if (result == CUDA_SUCCESS) result = describe_context(session, handle, reply);
    int active = 0;
    if (result == CUDA_SUCCESS) {
        result = ask(driver.cuDevicePrimaryCtxGetState, device, &reply.flags, &active);
    }
    if (result == CUDA_SUCCESS) {
        charge->keep(handle.bits(), handle);
        return result;
    }
    if (handle) forget_context(session, handle);
    ask(driver.cuDevicePrimaryCtxRelease_v2, device);
    if (handle) after_context(session, handle);
    return result;
}

CUresult handle_cuDevicePrimaryCtxRelease_v2(
    Session& session, const transport::Record&,
    const wire::cuDevicePrimaryCtxRelease_v2::Request& request, std::span<const std::byte>,
    wire::cuDevicePrimaryCtxRelease_v2::Reply&) {
    return end_primary(session, request.dev, [&](CUdevice device) {
        return ask(session.driver().cuDevicePrimaryCtxRelease_v2, device);
    });
}

CUresult handle_cuDevicePrimaryCtxReset_v2(Session& session, const transport::Record&,
                                           const wire::cuDevicePrimaryCtxReset_v2::Request& request,
                                           std::span<const std::byte>,
                                           wire::cuDevicePrimaryCtxReset_v2::Reply&) {
    return end_primary(session, request.dev, [&](CUdevice device) {
        const CUresult result = ask(session.driver().cuDevicePrimaryCtxReset_v2, device);
        // A reset gives back what was allocated, not who retains; the guest begins anew.
        ask(session.driver().cuDevicePrimaryCtxRelease_v2, device);
        return result;
    });
}

}  // namespace cubar::host
