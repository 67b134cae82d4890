// SPDX-License-Identifier: Apache-2.0
#include "libcuda/stream.h"

#include "libcuda/call.h"
#include "libcuda/capture_rules.h"
#include "libcuda/memory_pool.h"

namespace cubar::guest {
namespace {

CUresult thread_stream(const Caller& caller, Stream*& out) {
    const ContextHandle context = caller.context->handle;
    for (const ThreadState::ThreadStream& known : caller.thread->streams) {
        if (known.context == context) {
            out = caller.session->streams.find(known.stream);
            return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
        }
    }
    wire::thread_stream::Reply reply{};
    CUBAR_TRY(call_in<wire::thread_stream>(caller, context, {}, {}, reply));
    const bool mirrored = caller.session->streams.mirror(reply.stream, [&](Stream& stream) {
        stream.reset(reply.stream, context, CU_STREAM_DEFAULT, reply.id, reply.fence);
    });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    caller.context->blocking_streams.fetch_add(1, std::memory_order_relaxed);
    // Those of destroyed contexts went with them.
    std::erase_if(caller.thread->streams, [&](const ThreadState::ThreadStream& known) {
        return caller.session->contexts.find(known.context) == nullptr;
    });
    caller.thread->streams.push_back({context, reply.stream});
    out = caller.session->streams.find(reply.stream);
    return CUDA_SUCCESS;
}

/// Forgets a stream that the host is about to destroy; its work goes on. False: there is none.
bool drop_stream(const Caller& caller, StreamHandle handle) {
    const Stream* stream = caller.session->streams.find(handle);
    if (stream == nullptr) return false;
    Context* owner = caller.session->contexts.find(stream->context);
    const bool blocking = stream->blocking();
    const Position last = stream->last.load(std::memory_order_relaxed);
    // Remembered first, so that no thread that synchronises finds neither.
    if (owner != nullptr && last != 0 && !completed(caller, *stream, last)) {
        raise(owner->orphaned, last);
        if (blocking) raise(owner->orphaned_blocking, last);
        // What its kernels print comes when the context is synchronised.
        if (stream->prints.load(std::memory_order_relaxed)) {
            owner->legacy.prints.store(true, std::memory_order_relaxed);
        }
    }
    if (!caller.session->streams.forget(handle)) return false;
    if (owner != nullptr && blocking) {
        owner->blocking_streams.fetch_sub(1, std::memory_order_relaxed);
    }
    return true;
}

/// A stream that an application may ask about or destroy.
struct Asked {
    Caller caller;
    Stream* stream = nullptr;
};

CUresult ask(CUstream value, Asked& asked) {
    CUBAR_TRY(enter(asked.caller));
    return find_stream(asked.caller, value, asked.stream);
}

}  // namespace

CUresult find_stream(const Caller& caller, CUstream value, Stream*& out) {
    if (value == nullptr || value == CU_STREAM_LEGACY) {
        out = &caller.context->legacy;
        return CUDA_SUCCESS;
    }
    if (value == CU_STREAM_PER_THREAD) return thread_stream(caller, out);
    out = caller.session->streams.find(StreamHandle(bits_of(value)));
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

void destroy_thread_streams(ThreadState& thread) {
    Caller caller;
    if (thread.streams.empty() || enter_session(caller) != CUDA_SUCCESS) return;
    for (const ThreadState::ThreadStream& ended : thread.streams) drop_stream(caller, ended.stream);
    thread.streams.clear();
    // Nobody is left to be told of an error.
    caller.channel().post(
        {static_cast<std::uint32_t>(wire::thread_end::kOpcode), thread.number, 0, 0},
        wire::thread_end::Request{});
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuStreamCreateWithPriority(CUstream* out, unsigned int flags, int priority) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const cubar::ContextHandle context = caller.context->handle;
    wire::cuStreamCreateWithPriority::Request request{};
    request.flags = flags;
    request.priority = priority;
    wire::cuStreamCreateWithPriority::Reply reply{};
    CUBAR_TRY(call_in<wire::cuStreamCreateWithPriority>(caller, context, {}, request, reply));
    const bool mirrored = caller.session->streams.mirror(reply.stream, [&](Stream& stream) {
        stream.reset(reply.stream, context, flags, reply.id, reply.fence);
    });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    if ((flags & CU_STREAM_NON_BLOCKING) == 0) {
        caller.context->blocking_streams.fetch_add(1, std::memory_order_relaxed);
    }
    *out = pointer_to<CUstream>(reply.stream);
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamCreate(CUstream* out, unsigned int flags) {
    return cuStreamCreateWithPriority(out, flags, 0);
}

CUBAR_API cuStreamDestroy_v2(CUstream value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    const cubar::StreamHandle handle(bits_of(value));
    Stream* stream = caller.session->streams.find(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const cubar::ContextHandle context = stream->context;
    caller.session->captures.drop(*caller.session, *stream);
    wire::cuStreamDestroy_v2::Reply reply{};
    if (!drop_stream(caller, handle)) return CUDA_ERROR_INVALID_HANDLE;
    return call_in<wire::cuStreamDestroy_v2>(caller, context, {}, {handle}, reply);
}

CUBAR_API cuStreamDestroy(CUstream stream) {
    return cuStreamDestroy_v2(stream);
}

CUBAR_API cuStreamSynchronize(CUstream value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    CUBAR_TRY(forbid_wait(asked.caller, *asked.stream));
    Stream& stream = *asked.stream;
    CUBAR_TRY(wait_for(asked.caller, stream, stream.last.load(std::memory_order_relaxed)));
    observe_frees(asked.caller, stream.context, stream.handle, false);
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamQuery(CUstream value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    Stream& stream = *asked.stream;
    CUBAR_TRY(forbid_wait(asked.caller, stream));
    const cubar::Position last = stream.last.load(std::memory_order_relaxed);
    if (completed(asked.caller, stream, last)) return CUDA_SUCCESS;
    wire::cuStreamQuery::Request request{};
    request.hStream = stream.handle;
    wire::cuStreamQuery::Reply reply{};
    const CUresult result =
        call_in<wire::cuStreamQuery>(asked.caller, stream.context, stream.handle, request, reply);
    if (result == CUDA_SUCCESS) raise(stream.proven, last);
    return result;
}

CUBAR_API cuStreamWaitEvent(CUstream value, CUevent event_value, unsigned int flags) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    const cubar::EventHandle handle(bits_of(event_value));
    const Event* event = asked.caller.session->events.find(handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~static_cast<unsigned>(CU_EVENT_WAIT_EXTERNAL)) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (concerns_capture(*asked.stream, *event))
        return capture_wait(asked.caller, *asked.stream, handle, *event, flags);
    // An event that was never recorded is complete.
    if (event->position.load(std::memory_order_acquire) == 0) return CUDA_SUCCESS;
    wire::cuStreamWaitEvent::Request request{};
    request.hEvent = handle;
    request.Flags = flags;
    return post<wire::cuStreamWaitEvent>(asked.caller, *asked.stream, request);
}

CUBAR_API cuStreamGetPriority(CUstream value, int* priority) {
    if (priority == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // The host's: cuStreamSetAttribute may have changed it since, within the host's limits.
    CUstreamAttrValue attribute{};
    CUBAR_TRY(cuStreamGetAttribute(value, CU_STREAM_ATTRIBUTE_PRIORITY, &attribute));
    *priority = attribute.priority;
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamGetFlags(CUstream value, unsigned int* flags) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = asked.stream->flags;
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamGetId(CUstream value, unsigned long long* id) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *id = asked.stream->id;
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamGetCtx(CUstream value, CUcontext* context) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = pointer_to<CUcontext>(asked.stream->context);
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamGetCtx_v2(CUstream stream, CUcontext* context, CUgreenCtx* green) {
    if (green == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(cuStreamGetCtx(stream, context));
    *green = nullptr;
    return CUDA_SUCCESS;
}

CUBAR_API cuStreamGetDevice(CUstream value, CUdevice* device) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Context* context = asked.caller.session->contexts.find(asked.stream->context);
    if (context == nullptr) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *device = context->device;
    return CUDA_SUCCESS;
}
