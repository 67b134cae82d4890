// SPDX-License-Identifier: Apache-2.0
#include "libcuda/context.h"

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "libcuda/arena.h"
#include "libcuda/capture_rules.h"
#include "libcuda/memory_pool.h"
#include "libcuda/output.h"
#include "libcuda/pinned.h"

namespace cubar::guest {

CUresult enter_or_begin(Caller& caller) {
    CUBAR_TRY(entered(caller.process));
    CUBAR_TRY(caller.process->begin_session(caller.session));
    caller.thread = this_thread();
    return caller.thread != nullptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult mirror_context(const Caller& caller, const ContextFacts& facts) {
    // Without std::make_shared, which brings the exception machinery of libsupc++.
    std::unique_ptr<driver::ContextStorage> storage(new (std::nothrow) driver::ContextStorage);
    if (storage == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    const bool mirrored = caller.session->contexts.mirror(facts.handle, [&](Context& context) {
        context.handle = facts.handle;
        context.device = facts.device;
        context.device_facts = &caller.process->device_facts(facts.device);
        context.primary = facts.primary;
        context.flags.store(facts.flags, std::memory_order_relaxed);
        context.api_version = facts.api_version;
        context.id = facts.id;
        context.least_priority = facts.least_priority;
        context.greatest_priority = facts.greatest_priority;
        context.storage.store(std::shared_ptr<driver::ContextStorage>(std::move(storage)));
        context.blocking_streams.store(0, std::memory_order_relaxed);
        context.orphaned.store(0, std::memory_order_relaxed);
        context.orphaned_blocking.store(0, std::memory_order_relaxed);
        context.proven.store(0, std::memory_order_relaxed);
        // cuStreamGetId of the legacy stream: unique among the host's ids, which are small.
        context.legacy.reset({}, facts.handle, CU_STREAM_DEFAULT, facts.handle.bits(),
                             facts.legacy_fence);
    });
    return mirrored ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

std::shared_ptr<driver::ContextStorage> context_storage(CUcontext context) {
    Caller caller;
    if (enter_session(caller) != CUDA_SUCCESS) return nullptr;
    Context* found = caller.session->contexts.find(ContextHandle(bits_of(context)));
    return found != nullptr ? found->storage.load() : nullptr;
}

void drop_context(const Caller& caller, ContextHandle handle) {
    Session& session = *caller.session;
    if (Context* context = session.contexts.find(handle); context != nullptr) {
        context->storage.store(nullptr);  // its slot may have no next tenant
    }
    session.contexts.forget(handle);
    session.streams.forget_if(
        [&](StreamHandle, const Stream& object) { return object.context == handle; });
    session.events.forget_if(
        [&](EventHandle, const Event& object) { return object.context == handle; });
    session.functions.forget_if([&](FunctionHandle, const Function& object) {
        if (object.context != handle) return false;
        session.kernel_facts.release(object.facts);
        return true;
    });
    // Facts are recycled, and answers are kept by where they lie.
    session.occupancy.clear();
    session.modules.forget_if(
        [&](ModuleHandle, const Module& object) { return object.context == handle; });
    const auto belongs = [&](auto, const auto& object) { return object.context == handle; };
    session.arrays.forget_if(belongs);
    session.mipmapped_arrays.forget_if(belongs);
    session.images.forget_context(handle);
    session.addresses.remove_if([&](const MemoryRange& range) {
        if (range.context != handle) return false;
        if (range.reserved != 0) session.reservations.release(range.begin, range.reserved);
        if (range.kind == MemoryKind::kPinned || range.kind == MemoryKind::kManaged) {
            free_pinned(session, range);
        }
        if (range.kind == MemoryKind::kStaged) std::free(reinterpret_cast<void*>(range.begin));
        return true;
    });
    return_free_granules(caller);
}

void clear_storage(const Session& session, ContextHandle handle) {
    const Context* context = session.contexts.find(handle);
    if (context == nullptr) return;
    if (const auto storage = context->storage.load()) {
        storage->clear(pointer_to<CUcontext>(handle));
    }
}

namespace {

/// Waiting for the whole context would spoil a capture in it: waits for each stream that takes part
/// in none.
CUresult synchronize_streams(const Caller& caller, Context& context) {
    std::vector<StreamHandle> waited;
    caller.session->streams.for_each([&](StreamHandle handle, const Stream& stream) {
        if (stream.context == context.handle && !is_capturing(stream)) waited.push_back(handle);
    });
    for (const StreamHandle handle : waited) {
        Stream* stream = caller.session->streams.find(handle);
        if (stream != nullptr) CUBAR_TRY(synchronize_on_host(caller, *stream));
    }
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    std::uint64_t id = 0;
    Session& session = *caller.session;
    if (session.captures.ask(session, context.legacy, status, id) == CUDA_SUCCESS) {
        return synchronize_on_host(caller, context.legacy);
    }
    return caller.session->deferred_error(context.handle);
}

}  // namespace

CUresult synchronize_context(const Caller& caller, Context& context) {
    bool idle = context.orphaned.load(std::memory_order_relaxed) <=
                context.proven.load(std::memory_order_relaxed);
    const auto look = [&](const Stream& stream) {
        if (stream.context != context.handle) return;
        // The legacy stream waits for the others, each of which is looked at by itself.
        const Position last = stream.last.load(std::memory_order_relaxed);
        if (last == 0) return;
        idle = idle && !stream.prints.load(std::memory_order_relaxed) &&
               (last <= stream.proven.load(std::memory_order_relaxed) ||
                caller.channel().reached(stream.fence, last));
    };
    look(context.legacy);
    caller.session->streams.for_each([&](StreamHandle, const Stream& stream) { look(stream); });
    if (idle) return caller.session->deferred_error(context.handle);
    if (caller.session->captures.any()) return synchronize_streams(caller, context);
    return synchronize_on_host(caller, context);
}

namespace {

template <typename Visit>
void for_each_stream(const Caller& caller, Context& context, Visit&& visit) {
    visit(context.legacy);
    caller.session->streams.for_each([&](StreamHandle, Stream& stream) {
        if (stream.context == context.handle) visit(stream);
    });
}

}  // namespace

bool take_prints(const Caller& caller, Context& context) {
    bool printed = false;
    for_each_stream(caller, context, [&](Stream& stream) {
        printed |= stream.prints.exchange(false, std::memory_order_relaxed);
    });
    return printed;
}

CUresult synchronize_on_host(const Caller& caller, Context& context) {
    const bool printed = take_prints(caller, context);
    const Position before = caller.channel().position();
    wire::cuCtxSynchronize::Reply reply{};
    const CUresult result = call_in<wire::cuCtxSynchronize>(caller, context.handle, {}, {}, reply);
    if (result == CUDA_SUCCESS) {
        raise(context.proven, before);
        for_each_stream(caller, context, [&](Stream& stream) { raise(stream.proven, before); });
    }
    if (printed) fetch_output(caller);
    return result;
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

/// The live context that a value names; null names the current one.
CUresult context_or_current(CUcontext value, Caller& caller, Context*& out) {
    if (value == nullptr) {
        CUBAR_TRY(find_current(caller));
        out = caller.context;
        return CUDA_SUCCESS;
    }
    CUBAR_TRY(enter_session(caller));
    out = caller.session->contexts.find(cubar::ContextHandle(bits_of(value)));
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace

CUBAR_API cuCtxCreate_v2(CUcontext* out, unsigned int flags, CUdevice device) {
    Caller caller;
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (out == nullptr || (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!process->has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    CUBAR_TRY(enter_or_begin(caller));
    wire::cuCtxCreate_v2::Request request{};
    request.flags = flags;
    request.dev = static_cast<std::int32_t>(process->host_device(device));
    wire::cuCtxCreate_v2::Reply reply{};
    CUBAR_TRY(call_in<wire::cuCtxCreate_v2>(caller, {}, {}, request, reply));
    CUBAR_TRY(mirror_context(caller,
                             {reply.context, device, false, flags, reply.api_version, reply.id,
                              reply.least_priority, reply.greatest_priority, reply.legacy_fence}));
    caller.thread->contexts.push_back(reply.context);
    *out = pointer_to<CUcontext>(reply.context);
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxCreate(CUcontext* out, unsigned int flags, CUdevice device) {
    return cuCtxCreate_v2(out, flags, device);
}

CUBAR_API cuCtxCreate_v3(CUcontext* out, CUexecAffinityParam* affinity, int count,
                         unsigned int flags, CUdevice device) {
    if (count < 0 || (count != 0 && affinity == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    // A share of the multiprocessors (MPS) cannot be had through the BAR.
    if (count != 0) return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return cuCtxCreate_v2(out, flags, device);
}

CUBAR_API cuCtxCreate_v4(CUcontext* out, CUctxCreateParams* parameters, unsigned int flags,
                         CUdevice device) {
    if (parameters != nullptr) {
        if (parameters->numExecAffinityParams != 0) return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
        if (parameters->cigParams != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
    }
    return cuCtxCreate_v2(out, flags, device);
}

CUBAR_API cuCtxDestroy_v2(CUcontext value) {
    Caller caller;
    if (value == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    Context* context = nullptr;
    CUBAR_TRY(context_or_current(value, caller, context));
    // As CUDA documents it: a primary context is released, not destroyed.
    if (context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    const cubar::ContextHandle handle = context->handle;
    clear_storage(*caller.session, handle);
    const bool printed = take_prints(caller, *context);
    wire::cuCtxDestroy_v2::Request request{};
    request.context = handle;
    wire::cuCtxDestroy_v2::Reply reply{};
    const CUresult result = call_in<wire::cuCtxDestroy_v2>(caller, {}, {}, request, reply);
    if (printed) fetch_output(caller);
    drop_context(caller, handle);
    if (caller.thread->current() == handle) caller.thread->contexts.pop_back();
    return result;
}

CUBAR_API cuCtxDestroy(CUcontext context) {
    return cuCtxDestroy_v2(context);
}

CUBAR_API cuCtxPushCurrent_v2(CUcontext value) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    const cubar::ContextHandle handle(bits_of(value));
    if (caller.session->contexts.find(handle) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    caller.thread->contexts.push_back(handle);
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxPushCurrent(CUcontext context) {
    return cuCtxPushCurrent_v2(context);
}

CUBAR_API cuCtxPopCurrent_v2(CUcontext* out) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (caller.thread->contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out != nullptr) *out = pointer_to<CUcontext>(caller.thread->current());
    caller.thread->contexts.pop_back();
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxPopCurrent(CUcontext* out) {
    return cuCtxPopCurrent_v2(out);
}

CUBAR_API cuCtxSetCurrent(CUcontext value) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    ThreadState* thread = this_thread();
    if (thread == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    if (value == nullptr) {
        if (!thread->contexts.empty()) thread->contexts.pop_back();
        return CUDA_SUCCESS;
    }
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    const cubar::ContextHandle handle(bits_of(value));
    if (caller.session->contexts.find(handle) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (thread->contexts.empty()) {
        thread->contexts.push_back(handle);
    } else {
        thread->contexts.back() = handle;
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetCurrent(CUcontext* out) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const ThreadState* thread = this_thread();
    if (thread == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUcontext>(thread->current());
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetDevice_v2(CUdevice* device, CUcontext value) {
    Caller caller;
    Context* context = nullptr;
    CUBAR_TRY(context_or_current(value, caller, context));
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = context->device;
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetDevice(CUdevice* device) {
    return cuCtxGetDevice_v2(device, nullptr);
}

CUBAR_API cuCtxGetFlags(unsigned int* flags) {
    Caller caller;
    CUBAR_TRY(find_current(caller));
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = caller.context->flags.load(std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxSetFlags(unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    wire::cuCtxSetFlags::Request request{};
    request.flags = flags;
    wire::cuCtxSetFlags::Reply reply{};
    CUBAR_TRY(call_in<wire::cuCtxSetFlags>(caller, caller.context->handle, {}, request, reply));
    caller.context->flags.store(flags, std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetId(CUcontext value, unsigned long long* id) {
    Caller caller;
    Context* context = nullptr;
    CUBAR_TRY(context_or_current(value, caller, context));
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *id = context->id;
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetApiVersion(CUcontext value, unsigned int* version) {
    Caller caller;
    Context* context = nullptr;
    CUBAR_TRY(context_or_current(value, caller, context));
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = context->api_version;
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    Caller caller;
    CUBAR_TRY(find_current(caller));
    if (least != nullptr) *least = caller.context->least_priority;
    if (greatest != nullptr) *greatest = caller.context->greatest_priority;
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxSynchronize_v2(CUcontext value) {
    Caller caller;
    Context* context = nullptr;
    CUBAR_TRY(context_or_current(value, caller, context));
    CUBAR_TRY(forbid_wait(caller, context->handle));
    CUBAR_TRY(synchronize_context(caller, *context));
    observe_frees(caller, context->handle, {}, true);
    return CUDA_SUCCESS;
}

CUBAR_API cuCtxSynchronize() {
    return cuCtxSynchronize_v2(nullptr);
}
