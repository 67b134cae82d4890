// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

struct Made {
    StreamHandle handle;
    std::uint64_t id = 0;
    std::uint32_t fence = kNoFence;
};

/// Makes a stream in the record's context, which is current. `thread`: whose per-thread stream it
/// is, or 0.
CUresult make(Session& session, ContextHandle context, unsigned flags, int priority,
              std::uint32_t thread, Made& made) {
    const Driver& driver = session.driver();
    ContextObject* owner = session.contexts.find(context);
    if (owner == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    CUstream stream = nullptr;
    CUBAR_TRY(ask(driver.cuStreamCreateWithPriority, &stream, flags, priority));
    unsigned long long id = 0;
    CUresult result = ask(driver.cuStreamGetId, stream, &id);
    if (result == CUDA_SUCCESS) {
        made.id = id;
        made.fence = session.take_fence();
        const bool blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
        made.handle = session.streams.adopt([&](StreamObject& object) {
            object.stream = stream;
            object.context = context;
            object.blocking = blocking;
            object.fence = made.fence;
            object.thread = thread;
            object.state = {};
        });
        if (made.handle) {
            if (blocking) owner->blocking_streams.fetch_add(1, std::memory_order_relaxed);
            return CUDA_SUCCESS;
        }
        session.return_fence(made.fence);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    ask(driver.cuStreamDestroy_v2, stream);
    return result;
}

CUresult destroy(Session& session, StreamHandle handle) {
    const StreamObject* object = session.streams.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const CUstream stream = object->stream;
    const ContextHandle context = object->context;
    const bool blocking = object->blocking;
    const std::uint32_t fence = object->fence;
    if (!session.streams.forget(handle)) return CUDA_ERROR_INVALID_HANDLE;
    ContextObject* owner = session.contexts.find(context);
    if (owner != nullptr && blocking) {
        owner->blocking_streams.fetch_sub(1, std::memory_order_relaxed);
    }
    session.return_fence(fence);
    return ask(session.driver().cuStreamDestroy_v2, stream);
}

}  // namespace

CUresult handle_cuStreamCreateWithPriority(Session& session, const transport::Record& record,
                                           const wire::cuStreamCreateWithPriority::Request& request,
                                           std::span<const std::byte>,
                                           wire::cuStreamCreateWithPriority::Reply& reply) {
    Made made;
    CUBAR_TRY(make(session, ContextHandle(record.header().context), request.flags, request.priority,
                   0, made));
    reply.stream = made.handle;
    reply.id = made.id;
    reply.fence = made.fence;
    return CUDA_SUCCESS;
}

CUresult handle_cuStreamDestroy_v2(Session& session, const transport::Record&,
                                   const wire::cuStreamDestroy_v2::Request& request,
                                   std::span<const std::byte>, wire::cuStreamDestroy_v2::Reply&) {
    return destroy(session, request.stream);
}

CUresult handle_thread_stream(Session& session, const transport::Record& record,
                              const wire::thread_stream::Request&, std::span<const std::byte>,
                              wire::thread_stream::Reply& reply) {
    Made made;
    CUBAR_TRY(make(session, ContextHandle(record.header().context), CU_STREAM_DEFAULT, 0,
                   record.header().thread, made));
    reply.stream = made.handle;
    reply.id = made.id;
    reply.fence = made.fence;
    return CUDA_SUCCESS;
}

CUresult handle_thread_end(Session& session, const transport::Record& record,
                           const wire::thread_end::Request&, std::span<const std::byte>,
                           wire::thread_end::Reply&) {
    const std::uint32_t thread = record.header().thread;
    if (thread == 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<StreamHandle> ended;
    session.streams.for_each([&](StreamHandle handle, const StreamObject& object) {
        if (object.thread == thread) ended.push_back(handle);
    });
    // The driver lets a destroyed stream finish its work.
    for (const StreamHandle handle : ended) destroy(session, handle);
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
