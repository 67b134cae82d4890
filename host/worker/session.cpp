// SPDX-License-Identifier: Apache-2.0
#include "host/worker/session.h"

namespace cubar::host {
namespace {

// The context that make_current() made current in this thread, to spare the driver the call. The
// generation tells when any context has been destroyed since.
std::atomic<std::uint64_t> contexts_destroyed{0};
thread_local ContextHandle current;
thread_local std::uint64_t current_as_of = 0;

template <typename Table, typename Handle, typename Out>
CUresult resolve_in(const Table& table, Handle handle, Out& out, CUresult error,
                    auto member) {
    const auto* object = table.find(handle);
    if (object == nullptr) return error;
    out = object->*member;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult Session::resolve(ContextHandle handle, CUcontext& out) const {
    if (!handle) {
        out = nullptr;
        return CUDA_SUCCESS;
    }
    return resolve_in(contexts, handle, out, CUDA_ERROR_INVALID_CONTEXT, &ContextObject::context);
}
CUresult Session::resolve(StreamHandle handle, CUstream& out) const {
    if (!handle) {
        out = CU_STREAM_LEGACY;
        return CUDA_SUCCESS;
    }
    return resolve_in(streams, handle, out, CUDA_ERROR_INVALID_HANDLE, &StreamObject::stream);
}
CUresult Session::resolve(EventHandle handle, CUevent& out) const {
    return resolve_in(events, handle, out, CUDA_ERROR_INVALID_HANDLE, &EventObject::event);
}
CUresult Session::resolve(ModuleHandle handle, CUmodule& out) const {
    return resolve_in(modules, handle, out, CUDA_ERROR_INVALID_HANDLE, &ModuleObject::module);
}
CUresult Session::resolve(LibraryHandle handle, CUlibrary& out) const {
    return resolve_in(libraries, handle, out, CUDA_ERROR_INVALID_HANDLE, &LibraryObject::library);
}
CUresult Session::resolve(KernelHandle handle, CUkernel& out) const {
    return resolve_in(kernels, handle, out, CUDA_ERROR_INVALID_HANDLE, &KernelObject::kernel);
}
CUresult Session::resolve(FunctionHandle handle, CUfunction& out) const {
    return resolve_in(functions, handle, out, CUDA_ERROR_INVALID_HANDLE, &FunctionObject::function);
}

CUresult Session::make_current(ContextHandle handle) {
    const std::uint64_t destroyed = contexts_destroyed.load(std::memory_order_acquire);
    if (handle == current && destroyed == current_as_of) return CUDA_SUCCESS;
    CUcontext context = nullptr;
    if (const CUresult error = resolve(handle, context); error != CUDA_SUCCESS) return error;
    const CUresult error = driver().cuCtxSetCurrent(context);
    if (error == CUDA_SUCCESS) {
        current = handle;
        current_as_of = destroyed;
    }
    return error;
}

void Session::forget_current() {
    // Pairs with the acquire load in make_current().
    contexts_destroyed.fetch_add(1, std::memory_order_release);
}

std::uint32_t Session::take_fence() {
    if (fences_at_ == 0) return kNoFence;
    const std::lock_guard lock(fences_mutex_);
    if (!free_fences_.empty()) {
        const std::uint32_t fence = free_fences_.back();
        free_fences_.pop_back();
        return fence;
    }
    return fences_used_ < kStreamFences ? fences_used_++ : kNoFence;
}

void Session::return_fence(std::uint32_t fence) {
    if (fence == kNoFence) return;
    // A write that the old stream has still outstanding stores an older position than any the next
    // owner waits for: positions only grow.
    const std::lock_guard lock(fences_mutex_);
    free_fences_.push_back(fence);
}

void Session::mark_dirty(ContextHandle context, StreamHandle stream, Position position) {
    FenceState* state = nullptr;
    if (stream) {
        StreamObject* object = streams.find(stream);
        if (object == nullptr || object->fence == kNoFence) return;
        state = &object->state;
    } else {
        ContextObject* object = contexts.find(context);
        if (object == nullptr || object->fence == kNoFence) return;
        state = &object->legacy;
    }
    state->issued = position;
    if (state->dirty) return;
    state->dirty = true;
    dirty_.push_back({context, stream});
}

void Session::flush_fences() {
    for (const DirtyStream& dirty : dirty_) write_fence(dirty);
    dirty_.clear();
}

bool Session::write_fence(const DirtyStream& dirty) {
    FenceState* state = nullptr;
    CUstream stream = CU_STREAM_LEGACY;
    std::uint32_t fence = kNoFence;
    if (dirty.stream) {
        StreamObject* object = streams.find(dirty.stream);
        if (object == nullptr) return false;
        stream = object->stream;
        fence = object->fence;
        state = &object->state;
    } else {
        ContextObject* object = contexts.find(dirty.context);
        if (object == nullptr) return false;
        state = &object->legacy;
        fence = object->fence;
        // Another write in the legacy stream would hold up the streams that wait for it.
        if (object->blocking_streams.load(std::memory_order_relaxed) != 0) fence = kNoFence;
    }
    state->dirty = false;
    if (fence == kNoFence || make_current(dirty.context) != CUDA_SUCCESS) return false;
    // On an error the fence stays behind, and whoever waits for it asks the host, which then says
    // what happened.
    return driver().cuStreamWriteValue64_v2(stream, fence_address(fence), state->issued,
                                            CU_STREAM_WRITE_VALUE_DEFAULT) == CUDA_SUCCESS;
}

void Session::report(CUresult error, ContextHandle context, Position position) {
    const std::lock_guard lock(error_mutex_);
    ChannelControl& control = parts_.channel.control;
    // The first error stands until its context is gone or it was superseded by one that ends a
    // context: that is the one the application must see.
    const auto standing = static_cast<CUresult>(control.error_code.load(std::memory_order_relaxed));
    if (standing != CUDA_SUCCESS && (ends_context(standing) || !ends_context(error))) return;
    control.error_position.store(position, std::memory_order_relaxed);
    control.error_context.store(context.bits(), std::memory_order_relaxed);
    // Pairs with the guest's acquire load on entry of each call.
    control.error_code.store(static_cast<std::uint32_t>(error), std::memory_order_release);
}

void Session::clear_error(ContextHandle context) {
    const std::lock_guard lock(error_mutex_);
    ChannelControl& control = parts_.channel.control;
    if (control.error_context.load(std::memory_order_relaxed) != context.bits()) return;
    control.error_code.store(0, std::memory_order_release);
}

}  // namespace cubar::host
