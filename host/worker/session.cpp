// SPDX-License-Identifier: Apache-2.0
#include "host/worker/session.h"

#include "driver/log.h"
#include "host/worker/arena_view.h"
#include "host/worker/page_lock.h"
#include "host/worker/try.h"
#include "transport/host_words.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

// The context that make_current() made current in this thread, to spare the driver the call. The
// generation tells when any context has been destroyed since.
std::atomic<std::uint64_t> contexts_destroyed{0};
thread_local ContextHandle current_here;
thread_local std::uint64_t current_as_of = 0;

template <typename Table, typename Handle, typename Out>
CUresult resolve_in(const Table& table, Handle handle, Out& out, CUresult error, auto member) {
    const auto* object = table.find(handle);
    if (object == nullptr) return error;
    out = object->*member;
    return CUDA_SUCCESS;
}

}  // namespace

Session::Session(const Parts& parts) : parts_(parts), allocations_(parts.control) {
    forget_current();
}

Allocations::Charge Session::charge(CUdevice device, std::uint64_t bytes) {
    const auto ordinal = static_cast<std::uint32_t>(device);
    auto charge = allocations_.charge(ordinal, bytes);
    if (charge) return charge;
    pools_.reclaim();
    graph_memory_.reclaim();
    return allocations_.charge(ordinal, bytes);
}

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
    if (handle.kind() == Kind::kKernel) {
        CUkernel kernel = nullptr;
        CUBAR_TRY(resolve(KernelHandle(handle.bits()), kernel));
        out = reinterpret_cast<CUfunction>(kernel);
        return CUDA_SUCCESS;
    }
    return resolve_in(functions, handle, out, CUDA_ERROR_INVALID_HANDLE, &FunctionObject::function);
}

CUresult Session::device_of(ContextHandle handle, CUdevice& out) const {
    return resolve_in(contexts, handle, out, CUDA_ERROR_INVALID_CONTEXT, &ContextObject::device);
}

namespace {

template <typename Map, typename Table, typename Object>
auto handle_in(Map& known, std::mutex& mutex, Table& table, const void* key, const Object& facts) {
    const std::lock_guard lock(mutex);
    using Handle = decltype(table.adopt([](Object&) {}));
    const auto found = known.find(key);
    if (found != known.end() && table.find(Handle(found->second.bits())) != nullptr) {
        return Handle(found->second.bits());
    }
    const Handle made = table.adopt([&](Object& object) { object = facts; });
    if (made) known.insert_or_assign(key, made);
    return made;
}

}  // namespace

ModuleHandle Session::handle_of(CUmodule module, const ModuleObject& facts) {
    return handle_in(code_, code_mutex_, modules, module, facts);
}
KernelHandle Session::handle_of(CUkernel kernel, const KernelObject& facts) {
    return handle_in(code_, code_mutex_, kernels, kernel, facts);
}
FunctionHandle Session::handle_of(CUfunction function, const FunctionObject& facts) {
    return handle_in(code_, code_mutex_, functions, function, facts);
}

void Session::forget_code(const std::function<bool(const ModuleObject&)>& modules_too,
                          const std::function<bool(const KernelObject&)>& kernels_too,
                          const std::function<bool(const FunctionObject&)>& functions_too) {
    const std::lock_guard lock(code_mutex_);
    functions.forget_if([&](FunctionHandle, const FunctionObject& object) {
        return functions_too(object) && code_.erase(object.function) != 0;
    });
    kernels.forget_if([&](KernelHandle, const KernelObject& object) {
        return kernels_too(object) && code_.erase(object.kernel) != 0;
    });
    modules.forget_if([&](ModuleHandle, const ModuleObject& object) {
        return modules_too(object) && code_.erase(object.module) != 0;
    });
}

CUresult Session::make_current(ContextHandle handle) {
    const std::uint64_t destroyed = contexts_destroyed.load(std::memory_order_acquire);
    if (handle == current_here && destroyed == current_as_of) return CUDA_SUCCESS;
    CUcontext context = nullptr;
    CUBAR_TRY(resolve(handle, context));
    CUBAR_TRY(ask(driver().cuCtxSetCurrent, context));
    current_here = handle;
    current_as_of = destroyed;
    return CUDA_SUCCESS;
}

void Session::forget_current() {
    // Pairs with the acquire load in make_current().
    contexts_destroyed.fetch_add(1, std::memory_order_release);
}

std::uint32_t Session::take_fence() {
    if (!parts_.fences || fences_at_.load(std::memory_order_relaxed) == 0) return kNoFence;
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
    std::erase_if(dirty_, [this](const DirtyStream& dirty) { return write_fence(dirty); });
}

bool Session::may_capture(CUstream stream) const {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    return ask(driver().cuStreamIsCapturing, stream, &status) != CUDA_SUCCESS ||
           status != CU_STREAM_CAPTURE_STATUS_NONE;
}

bool Session::write_fence(const DirtyStream& dirty) {
    FenceState* state = nullptr;
    CUstream stream = CU_STREAM_LEGACY;
    std::uint32_t fence = kNoFence;
    if (dirty.stream) {
        StreamObject* object = streams.find(dirty.stream);
        if (object == nullptr) return true;
        stream = object->stream;
        fence = object->fence;
        state = &object->state;
    } else {
        ContextObject* object = contexts.find(dirty.context);
        if (object == nullptr) return true;
        state = &object->legacy;
        fence = object->fence;
        // Another write in the legacy stream would hold up the streams that wait for it.
        if (object->blocking_streams.load(std::memory_order_relaxed) != 0) fence = kNoFence;
    }
    const bool writes = fence != kNoFence && make_current(dirty.context) == CUDA_SUCCESS;
    if (writes && captures.any() && may_capture(stream)) return false;
    state->dirty = false;
    if (!writes) return true;
    // On an error the fence stays behind, and whoever waits for it asks the host, which then says
    // what happened.
    gpu_writes(fence, state->issued, stream);
    return true;
}

bool Session::gpu_writes(std::uint32_t fence, Position position, CUstream stream) {
    const CUdeviceptr fences = fences_at_.load(std::memory_order_relaxed);
    if (fences == 0 || fence >= kFences) return false;
    return ask(driver().cuStreamWriteValue64_v2, stream, fences + fence * sizeof(std::uint64_t),
               static_cast<cuuint64_t>(position),
               static_cast<unsigned>(CU_STREAM_WRITE_VALUE_DEFAULT)) == CUDA_SUCCESS;
}

CUresult Session::write_staging_fence(std::uint32_t fence, const transport::Record& record,
                                      CUstream stream) {
    if (fence == kNoFence) return CUDA_SUCCESS;
    if (fence < kStreamFences || fence >= kFences) return CUDA_ERROR_INVALID_VALUE;
    if (gpu_writes(fence, record.end(), stream)) return CUDA_SUCCESS;
    CUBAR_TRY(ask(driver().cuStreamSynchronize, stream));
    transport::FenceWriter(parts_.channel).write(fence, record.end());
    return CUDA_SUCCESS;
}

void Session::page_lock(ContextHandle current) {
    const std::lock_guard lock(page_lock_mutex_);
    if (page_locked_by_) return;
    Shared<std::uint64_t>* fences = channel().fence;
    if (lock_at_own_address(driver(), fences, sizeof parts_.channel.fence)) {
        page_locked_by_ = current;
        fences_at_.store(reinterpret_cast<CUdeviceptr>(fences), std::memory_order_relaxed);
    } else {
        CUBAR_LOG(kWarn, "the driver cannot page-lock shared memory: every wait asks the host");
    }
    arena().register_missing();
}

void Session::page_lock_again(ContextHandle destroyed) {
    {
        const std::lock_guard lock(page_lock_mutex_);
        if (page_locked_by_ != destroyed) return;
        page_locked_by_ = {};
        fences_at_.store(0, std::memory_order_relaxed);
        arena().lost_registrations();
    }
    ContextHandle other;
    contexts.for_each([&](ContextHandle handle, const ContextObject&) { other = handle; });
    if (other && make_current(other) == CUDA_SUCCESS) page_lock(other);
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
