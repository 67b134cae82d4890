// SPDX-License-Identifier: Apache-2.0
#include "libcuda/call.h"
#include "libcuda/capture_rules.h"
#include "libcuda/memory_pool.h"
#include "libcuda/output.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

constexpr unsigned kEventFlags =
    CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

struct Asked {
    Caller caller;
    cubar::EventHandle handle;
    Event* event = nullptr;
};

CUresult ask(CUevent value, Asked& asked) {
    CUBAR_TRY(enter(asked.caller));
    asked.handle = cubar::EventHandle(bits_of(value));
    asked.event = asked.caller.session->events.find(asked.handle);
    return asked.event != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/// The stream in which the event was recorded last, if it is still there and can tell by its fence.
Stream* recorded_in(const Asked& asked) {
    const cubar::StreamHandle stream = asked.event->stream.load(std::memory_order_relaxed);
    if (stream) return asked.caller.session->streams.find(stream);
    Context* context = asked.caller.session->contexts.find(asked.event->context);
    return context != nullptr ? &context->legacy : nullptr;
}

}  // namespace

CUBAR_API cuEventCreate(CUevent* out, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || (flags & ~kEventFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & CU_EVENT_INTERPROCESS) != 0) return CUDA_ERROR_NOT_SUPPORTED;
    wire::cuEventCreate::Request request{};
    request.Flags = flags;
    wire::cuEventCreate::Reply reply{};
    const cubar::ContextHandle context = caller.context->handle;
    CUBAR_TRY(call_in<wire::cuEventCreate>(caller, context, {}, request, reply));
    const bool mirrored = caller.session->events.mirror(reply.phEvent, [&](Event& event) {
        event.context = context;
        event.flags = flags;
        event.stream.store({}, std::memory_order_relaxed);
        event.position.store(0, std::memory_order_relaxed);
        event.capture.store(0, std::memory_order_relaxed);
    });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUevent>(reply.phEvent);
    return CUDA_SUCCESS;
}

CUBAR_API cuEventRecordWithFlags(CUevent value, CUstream stream_value, unsigned int flags) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(asked.caller, stream_value, stream));
    if (stream->context != asked.event->context) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (is_capturing(*stream)) {
        return capture_record(asked.caller, *stream, asked.handle, *asked.event, flags);
    }
    wire::cuEventRecordWithFlags::Request request{};
    request.hEvent = asked.handle;
    request.flags = flags;
    cubar::Position position = 0;
    CUBAR_TRY(post<wire::cuEventRecordWithFlags>(asked.caller, *stream, request, {}, &position));
    asked.event->stream.store(stream->handle, std::memory_order_relaxed);
    asked.event->capture.store(0, std::memory_order_relaxed);
    // Pairs with the acquire loads of those who ask about the event.
    asked.event->position.store(position, std::memory_order_release);
    return CUDA_SUCCESS;
}

CUBAR_API cuEventRecord(CUevent event, CUstream stream) {
    return cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_DEFAULT);
}

CUBAR_API cuEventQuery(CUevent value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    CUBAR_TRY(forbid_wait(asked.caller, *asked.event));
    const cubar::Position position = asked.event->position.load(std::memory_order_acquire);
    if (position == 0) return CUDA_SUCCESS;
    Stream* stream = recorded_in(asked);
    if (stream != nullptr && completed(asked.caller, *stream, position)) return CUDA_SUCCESS;
    wire::cuEventQuery::Request request{};
    request.hEvent = asked.handle;
    wire::cuEventQuery::Reply reply{};
    const CUresult result =
        call_in<wire::cuEventQuery>(asked.caller, asked.event->context, {}, request, reply);
    if (result == CUDA_SUCCESS && stream != nullptr) raise(stream->proven, position);
    return result;
}

CUBAR_API cuEventSynchronize(CUevent value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    CUBAR_TRY(forbid_wait(asked.caller, *asked.event));
    const cubar::Position position = asked.event->position.load(std::memory_order_acquire);
    if (position == 0) return CUDA_SUCCESS;
    Stream* stream = recorded_in(asked);
    if (stream != nullptr) {
        if (await_fence(asked.caller, *stream, position)) {
            CUBAR_TRY(asked.caller.session->deferred_error(asked.event->context));
            observe_frees(asked.caller, stream->context, stream->handle, false);
            return CUDA_SUCCESS;
        }
    }
    const bool printed = stream != nullptr && stream->prints.load(std::memory_order_relaxed);
    wire::cuEventSynchronize::Request request{};
    request.hEvent = asked.handle;
    wire::cuEventSynchronize::Reply reply{};
    const CUresult result =
        call_in<wire::cuEventSynchronize>(asked.caller, asked.event->context, {}, request, reply);
    if (result == CUDA_SUCCESS && stream != nullptr) {
        raise(stream->proven, position);
        observe_frees(asked.caller, stream->context, stream->handle, false);
    }
    if (printed) fetch_output(asked.caller);
    return result;
}

CUBAR_API cuEventElapsedTime_v2(float* milliseconds, CUevent start_value, CUevent end_value) {
    Asked start;
    Asked end;
    CUBAR_TRY(ask(start_value, start));
    CUBAR_TRY(ask(end_value, end));
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuEventElapsedTime_v2::Request request{};
    request.hStart = start.handle;
    request.hEnd = end.handle;
    wire::cuEventElapsedTime_v2::Reply reply{};
    CUBAR_TRY(call_in<wire::cuEventElapsedTime_v2>(start.caller, start.event->context, {}, request,
                                                   reply));
    *milliseconds = reply.pMilliseconds;
    return CUDA_SUCCESS;
}

CUBAR_API cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

CUBAR_API cuEventDestroy_v2(CUevent value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    const cubar::ContextHandle context = asked.event->context;
    if (!asked.caller.session->events.forget(asked.handle)) return CUDA_ERROR_INVALID_HANDLE;
    wire::cuEventDestroy_v2::Request request{};
    request.hEvent = asked.handle;
    wire::cuEventDestroy_v2::Reply reply{};
    return call_in<wire::cuEventDestroy_v2>(asked.caller, context, {}, request, reply);
}

CUBAR_API cuEventDestroy(CUevent event) {
    return cuEventDestroy_v2(event);
}
