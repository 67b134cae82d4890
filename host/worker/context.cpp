// SPDX-License-Identifier: Apache-2.0
#include "host/worker/context.h"

#include "cubar/host/dispatch.h"

namespace cubar::host {

std::optional<Allocations::Charge> charge_context(Session& session, CUdevice device) {
    const std::uint64_t bytes = session.context_bytes(device);
    if (bytes == 0) return Allocations::Charge{};
    Allocations::Charge charge = session.charge(device, bytes);
    if (!charge) return std::nullopt;
    return charge;
}

CUresult adopt_context(Session& session, CUcontext context, CUdevice device, bool primary,
                       ContextHandle& out) {
    out = session.contexts.adopt([&](ContextObject& object) {
        object.context = context;
        object.device = device;
        object.primary = primary;
        object.fence = kNoFence;
        object.blocking_streams.store(0, std::memory_order_relaxed);
        object.legacy = {};
        object.local_bytes.store(0, std::memory_order_relaxed);
    });
    if (!out) return CUDA_ERROR_OUT_OF_MEMORY;
    if (const CUresult error = session.make_current(out); error != CUDA_SUCCESS) {
        session.contexts.forget(out);
        return error;
    }
    session.page_lock(out);
    // Nobody else knows the handle yet.
    session.contexts.find(out)->fence = session.take_fence();
    return CUDA_SUCCESS;
}

void forget_context(Session& session, ContextHandle handle) {
    session.streams.forget_if([&](StreamHandle, const StreamObject& object) {
        if (object.context != handle) return false;
        session.return_fence(object.fence);
        return true;
    });
    session.events.forget_if(
        [&](EventHandle, const EventObject& object) { return object.context == handle; });
    session.forget_code([&](const ModuleObject& module) { return module.context == handle; },
                        [](const KernelObject&) { return false; },
                        [&](const FunctionObject& function) { return function.context == handle; });
    session.arrays().forget_context(handle);
    if (const ContextObject* object = session.contexts.find(handle); object != nullptr) {
        const std::uint32_t fence = object->fence;
        if (session.contexts.forget(handle)) session.return_fence(fence);
    }
}

void after_context(Session& session, ContextHandle handle) {
    Session::forget_current();
    session.allocations().credit_context(handle);
    session.clear_error(handle);
    session.page_lock_again(handle);
}

CUresult handle_cuCtxCreate_v2(Session& session, const transport::Record&,
                               const wire::cuCtxCreate_v2::Request& request,
                               std::span<const std::byte>, wire::cuCtxCreate_v2::Reply& reply) {
    const Driver& driver = session.driver();
    CUdevice device = 0;
    CUBAR_TRY(ask(driver.cuDeviceGet, &device, request.dev));
    auto charge = charge_context(session, device);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    CUcontext context = nullptr;
    CUBAR_TRY(ask(driver.cuCtxCreate_v2, &context, request.flags, device));
    ContextHandle handle;
    CUresult result = adopt_context(session, context, device, false, handle);
    if (result == CUDA_SUCCESS) result = describe_context(session, handle, reply);
    if (result == CUDA_SUCCESS) {
        charge->keep(handle.bits(), handle);
        return result;
    }
    if (handle) forget_context(session, handle);
    ask(driver.cuCtxDestroy_v2, context);
    if (handle) after_context(session, handle);
    return result;
}

CUresult handle_cuCtxDestroy_v2(Session& session, const transport::Record&,
                                const wire::cuCtxDestroy_v2::Request& request,
                                std::span<const std::byte>, wire::cuCtxDestroy_v2::Reply&) {
    const ContextObject* object = session.contexts.find(request.context);
    // A primary context is released, not destroyed.
    if (object == nullptr || object->primary) return CUDA_ERROR_INVALID_CONTEXT;
    const CUcontext context = object->context;
    forget_context(session, request.context);
    const CUresult result = ask(session.driver().cuCtxDestroy_v2, context);
    after_context(session, request.context);
    return result;
}

}  // namespace cubar::host
