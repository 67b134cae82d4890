// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <mutex>

#include "libcuda/context.h"
#include "libcuda/output.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

/// The primary context of one device. Only the first retain and the last release cross.
struct Primary {
    // Held while the host makes or ends the context, so that no thread meets a half of one. Never
    // held while a context's storage runs its destructors: they take a runtime's locks, under which
    // other threads come here.
    std::mutex mutex;
    cubar::ContextHandle handle;
    unsigned retained = 0;
    unsigned flags = CU_CTX_SCHED_AUTO;
};

std::array<Primary, cubar::kMaxDevices> primaries;

CUresult primary_of(CUdevice device, Primary*& out) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (!process->has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    out = &primaries[static_cast<std::size_t>(device)];
    return CUDA_SUCCESS;
}

CUresult make(const Caller& caller, CUdevice device, Primary& primary) {
    wire::cuDevicePrimaryCtxRetain::Request request{};
    request.dev = static_cast<std::int32_t>(caller.process->host_device(device));
    wire::cuDevicePrimaryCtxRetain::Reply reply{};
    CUBAR_TRY(call_in<wire::cuDevicePrimaryCtxRetain>(caller, {}, {}, request, reply));
    CUBAR_TRY(mirror_context(caller,
                             {reply.context, device, true, reply.flags, reply.api_version, reply.id,
                              reply.least_priority, reply.greatest_priority, reply.legacy_fence}));
    primary.handle = reply.context;
    primary.flags = reply.flags;
    return CUDA_SUCCESS;
}

/// What `out` says is made if there is none. Its mutex is held.
CUresult make_if_needed(CUdevice device, Primary& primary, CUcontext& out) {
    if (!primary.handle) {
        Caller caller;
        CUBAR_TRY(enter_or_begin(caller));
        CUBAR_TRY(make(caller, device, primary));
    }
    out = pointer_to<CUcontext>(primary.handle);
    return CUDA_SUCCESS;
}

/// Ends the context, unless `still_ends(primary)` says that another thread wants it by now.
template <typename W, typename StillEnds>
CUresult end(CUdevice device, Primary& primary, cubar::ContextHandle handle,
             StillEnds&& still_ends) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    clear_storage(*caller.session, handle);
    const std::lock_guard lock(primary.mutex);
    if (primary.handle != handle || !still_ends(primary)) return CUDA_SUCCESS;
    primary.handle = {};
    Context* context = caller.session->contexts.find(handle);
    const bool printed = context != nullptr && take_prints(caller, *context);
    typename W::Request request{};
    request.dev = static_cast<std::int32_t>(caller.process->host_device(device));
    typename W::Reply reply{};
    const CUresult result = call_in<W>(caller, {}, {}, request, reply);
    if (printed) fetch_output(caller);
    drop_context(caller, handle);
    return result;
}

}  // namespace

namespace cubar::guest {

CUresult primary_context(CUdevice device, CUcontext& out) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    const std::lock_guard lock(primary->mutex);
    return make_if_needed(device, *primary, out);
}

}  // namespace cubar::guest

CUBAR_API cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice device) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const std::lock_guard lock(primary->mutex);
    CUBAR_TRY(make_if_needed(device, *primary, *out));
    ++primary->retained;
    return CUDA_SUCCESS;
}

CUBAR_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    cubar::ContextHandle ended;
    {
        const std::lock_guard lock(primary->mutex);
        if (primary->retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
        ended = primary->handle;
        // A reset leaves those who retain what is no more.
        if (--primary->retained != 0 || !ended) return CUDA_SUCCESS;
    }
    return end<wire::cuDevicePrimaryCtxRelease_v2>(
        device, *primary, ended, [](const Primary& now) { return now.retained == 0; });
}

CUBAR_API cuDevicePrimaryCtxRelease(CUdevice device) {
    return cuDevicePrimaryCtxRelease_v2(device);
}

CUBAR_API cuDevicePrimaryCtxReset_v2(CUdevice device) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    cubar::ContextHandle ended;
    {
        const std::lock_guard lock(primary->mutex);
        ended = primary->handle;
        if (!ended) return CUDA_SUCCESS;
        primary->flags = CU_CTX_SCHED_AUTO;
    }
    return end<wire::cuDevicePrimaryCtxReset_v2>(device, *primary, ended,
                                                 [](const Primary&) { return true; });
}

CUBAR_API cuDevicePrimaryCtxReset(CUdevice device) {
    return cuDevicePrimaryCtxReset_v2(device);
}

CUBAR_API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    Caller caller;
    CUBAR_TRY(enter_or_begin(caller));
    wire::cuDevicePrimaryCtxSetFlags_v2::Request request{};
    request.dev = static_cast<std::int32_t>(caller.process->host_device(device));
    request.flags = flags;
    wire::cuDevicePrimaryCtxSetFlags_v2::Reply reply{};
    CUBAR_TRY(call_in<wire::cuDevicePrimaryCtxSetFlags_v2>(caller, {}, {}, request, reply));
    const std::lock_guard lock(primary->mutex);
    primary->flags = flags;
    Context* context = caller.session->contexts.find(primary->handle);
    if (context != nullptr) context->flags.store(flags, std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

CUBAR_API cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags) {
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

CUBAR_API cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
    Primary* primary = nullptr;
    CUBAR_TRY(primary_of(device, primary));
    if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const std::lock_guard lock(primary->mutex);
    *flags = primary->flags;
    *active = primary->handle ? 1 : 0;
    return CUDA_SUCCESS;
}
