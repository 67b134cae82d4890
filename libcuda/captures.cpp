// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libcuda/call.h"
#include "libcuda/capture.h"

namespace cubar::guest {
namespace {

/// Makes the stream's next operation take pace_slowly(), which asks check_work().
void look_first(Stream& stream) {
    stream.posted.store(kLookFirst, std::memory_order_relaxed);
}

template <typename Visit>
void for_each_in(Session& session, std::uint64_t id, Visit&& visit) {
    session.streams.for_each([&](StreamHandle, Stream& stream) {
        if (stream.capture.load(std::memory_order_relaxed) == id) visit(stream);
    });
}

/// Work in the legacy stream of the context would now have to wait for a capture.
void warn_legacy(Session& session, const Stream& stream) {
    if (!stream.blocking()) return;
    if (Context* context = session.contexts.find(stream.context)) look_first(context->legacy);
}

}  // namespace

Capture* Captures::find(std::uint64_t id) {
    if (id == 0) return nullptr;
    const auto found = std::find_if(captures_.begin(), captures_.end(),
                                    [&](const Capture& capture) { return capture.id == id; });
    return found != captures_.end() ? &*found : nullptr;
}

void Captures::begin(Session& session, Stream& origin, const Capture& capture) {
    const std::lock_guard lock(mutex_);
    captures_.push_back(capture);
    captures_.back().id = ++last_id_;
    captures_.back().origin = origin.handle;
    origin.capture.store(last_id_, std::memory_order_relaxed);
    // Pairs with any(): who sees the count takes the lock and finds the capture.
    count_.fetch_add(1, std::memory_order_release);
    warn_legacy(session, origin);
}

CUresult Captures::may_end(Session& session, const Stream& origin, std::uint32_t thread,
                           Capture& out) {
    const std::lock_guard lock(mutex_);
    Capture* capture = find(origin.capture.load(std::memory_order_relaxed));
    if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != origin.handle) {
        invalidate(session, *capture);
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != thread) {
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    }
    out = *capture;
    return CUDA_SUCCESS;
}

void Captures::end(Session& session, std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    if (std::erase_if(captures_, [&](const Capture& capture) { return capture.id == id; }) == 0) {
        return;
    }
    for_each_in(session, id,
                [](Stream& stream) { stream.capture.store(0, std::memory_order_relaxed); });
    count_.fetch_sub(1, std::memory_order_release);
}

void Captures::join(Session& session, Stream& stream, std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    if (find(id) == nullptr) return;
    stream.capture.store(id, std::memory_order_relaxed);
    warn_legacy(session, stream);
}

void Captures::drop(Session& session, const Stream& stream) {
    std::uint64_t id = 0;
    {
        const std::lock_guard lock(mutex_);
        const Capture* capture = find(stream.capture.load(std::memory_order_relaxed));
        // Nobody can end a capture whose first stream is gone. Work of another one stays.
        if (capture == nullptr || capture->origin != stream.handle) return;
        id = capture->id;
    }
    end(session, id);
}

CUresult Captures::ask(Session& session, const Stream& stream, CUstreamCaptureStatus& status,
                       std::uint64_t& id) {
    const std::lock_guard lock(mutex_);
    if (!stream.handle && blocking_in(session, stream.context) != nullptr) {
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    const Capture* capture = find(stream.capture.load(std::memory_order_relaxed));
    id = capture != nullptr ? capture->id : 0;
    status = capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
             : capture->valid   ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
    return CUDA_SUCCESS;
}

std::shared_ptr<GraphResources> Captures::resources(const Stream& stream) {
    const std::lock_guard lock(mutex_);
    const Capture* capture = find(stream.capture.load(std::memory_order_relaxed));
    return capture != nullptr ? capture->resources : nullptr;
}

void Captures::invalidate(Session& session, Capture& capture) {
    capture.valid = false;
    for_each_in(session, capture.id, look_first);
}

Capture* Captures::blocking_in(Session& session, ContextHandle context) {
    std::uint64_t id = 0;
    session.streams.for_each([&](StreamHandle, const Stream& stream) {
        if (stream.context == context && stream.blocking() && is_capturing(stream)) {
            id = stream.capture.load(std::memory_order_relaxed);
        }
    });
    return find(id);
}

CUresult Captures::check_unsafe_locked(Session& session, const ThreadState& caller) {
    if (caller.capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
    CUresult result = CUDA_SUCCESS;
    for (Capture& capture : captures_) {
        const bool forbids = capture.thread == caller.number
                                 ? capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED
                                 : capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                                       caller.capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (!forbids) continue;
        invalidate(session, capture);
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result;
}

CUresult Captures::check_unsafe(Session& session, const ThreadState& caller) {
    const std::lock_guard lock(mutex_);
    return check_unsafe_locked(session, caller);
}

CUresult Captures::check_work_locked(Session& session, Stream& stream, Capture*& capture) {
    capture = find(stream.capture.load(std::memory_order_relaxed));
    if (capture != nullptr) {
        if (capture->valid) return CUDA_SUCCESS;
        look_first(stream);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    Capture* blocking = stream.handle ? nullptr : blocking_in(session, stream.context);
    if (blocking == nullptr) return CUDA_SUCCESS;
    invalidate(session, *blocking);
    look_first(stream);
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
}

CUresult Captures::check_work(Session& session, Stream& stream) {
    const std::lock_guard lock(mutex_);
    Capture* capture = nullptr;
    return check_work_locked(session, stream, capture);
}

CUresult Captures::check_wait(Session& session, const ThreadState& caller, Stream& stream) {
    const std::lock_guard lock(mutex_);
    Capture* capture = nullptr;
    CUBAR_TRY(check_work_locked(session, stream, capture));
    if (capture == nullptr) return check_unsafe_locked(session, caller);
    invalidate(session, *capture);
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult Captures::check_wait(Session& session, const ThreadState& caller, const Event& event) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t id = event.capture.load(std::memory_order_relaxed);
    if (id == 0) return check_unsafe_locked(session, caller);
    if (Capture* capture = find(id)) invalidate(session, *capture);
    return CUDA_ERROR_CAPTURED_EVENT;
}

CUresult Captures::check_wait(Session& session, const ThreadState& caller, ContextHandle context) {
    const std::lock_guard lock(mutex_);
    CUresult result = CUDA_SUCCESS;
    for (Capture& capture : captures_) {
        bool here = false;
        for_each_in(session, capture.id,
                    [&](const Stream& stream) { here |= stream.context == context; });
        if (!here) continue;
        invalidate(session, capture);
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result == CUDA_SUCCESS ? check_unsafe_locked(session, caller) : result;
}

void Captures::spoil(Session& session, std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    if (Capture* capture = find(id)) invalidate(session, *capture);
}

}  // namespace cubar::guest
