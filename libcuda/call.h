// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "cubar/wire.h"
#include "libcuda/entry.h"
#include "libcuda/process.h"
#include "libcuda/session.h"
#include "libcuda/thread_state.h"
#include "transport/channel.h"

namespace cubar::guest {

/// Who calls, and in which context: what every function that crosses needs first.
struct Caller {
    Process* process = nullptr;
    Session* session = nullptr;
    ThreadState* thread = nullptr;
    Context* context = nullptr;  ///< the calling thread's current one

    transport::Channel& channel() const { return session->channel(); }
};

/// Fills in all but the context. NOT_INITIALIZED before cuInit, INVALID_CONTEXT before a context
/// was ever made.
inline CUresult enter_session(Caller& caller) {
    caller.process = Process::get();
    if (caller.process == nullptr) return CUDA_ERROR_NOT_INITIALIZED;
    caller.session = caller.process->session();
    if (caller.session == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    caller.thread = this_thread();
    return caller.thread != nullptr ? caller.session->lost() : CUDA_ERROR_OUT_OF_MEMORY;
}

/// The same with the current context: enough for questions about the context itself, which CUDA
/// answers after a fault as well.
inline CUresult find_current(Caller& caller) {
    if (const CUresult error = enter_session(caller); error != CUDA_SUCCESS) return error;
    const ContextHandle current = caller.thread->current();
    caller.context = caller.session->contexts.find(current);
    if (caller.context != nullptr) return CUDA_SUCCESS;
    return current ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
}

/// The same, and with the errors that earlier work left in the context.
inline CUresult enter(Caller& caller) {
    if (const CUresult error = find_current(caller); error != CUDA_SUCCESS) return error;
    return caller.session->deferred_error(caller.context->handle);
}

// --- handles that applications pass ---------------------------------------------------------

template <typename Pointer>
std::uint64_t bits_of(Pointer* pointer) {
    return reinterpret_cast<std::uint64_t>(pointer);
}

/// The value that an application gets for a handle.
template <typename Pointer>
Pointer pointer_to(AnyHandle handle) {
    return reinterpret_cast<Pointer>(handle.bits());
}

/// The stream that an application's value means in its current context: the legacy stream for null
/// and CU_STREAM_LEGACY, the calling thread's own for CU_STREAM_PER_THREAD (made at its first use).
CUresult find_stream(const Caller& caller, CUstream value, Stream*& out);

// For generated functions: the handle behind an application's value, if it is live.
CUresult handle_of(CUcontext value, ContextHandle& out);
CUresult handle_of(CUstream value, StreamHandle& out);
CUresult handle_of(CUevent value, EventHandle& out);
CUresult handle_of(CUmodule value, ModuleHandle& out);
CUresult handle_of(CUlibrary value, LibraryHandle& out);
CUresult handle_of(CUkernel value, KernelHandle& out);
/// A CUfunction may be a function or a kernel: cudart passes one for the other.
CUresult handle_of(CUfunction value, FunctionHandle& out);
/// Of nodes and user objects the host alone knows which are live.
CUresult handle_of(CUgraphNode value, GraphNodeHandle& out);
CUresult handle_of(CUgraph value, GraphHandle& out);
CUresult handle_of(CUgraphExec value, GraphExecHandle& out);
CUresult handle_of(CUuserObject value, UserObjectHandle& out);
/// The host's number of a device.
CUresult device_of(CUdevice device, std::int32_t& out);

// --- crossing ---------------------------------------------------------------------------------

/// Waits for the answer of a call whose bytes are at hand. `context` goes into the record.
/// `position`, if wanted, is the end of the record, if there was an answer.
CUresult call_raw(const Caller& caller, Opcode opcode, ContextHandle context, StreamHandle stream,
                  std::span<const std::byte> request, std::span<const std::byte> payload,
                  std::span<std::byte> reply, Position* position = nullptr);

template <typename Struct>
std::span<const std::byte> bytes_of(const Struct& value) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    return std::as_bytes(std::span(&value, 1));
}

/// A synchronous call in a context that the caller names (or in none).
template <typename W>
CUresult call_in(const Caller& caller, ContextHandle context, StreamHandle stream,
                 const typename W::Request& request, typename W::Reply& reply,
                 std::span<const std::byte> payload = {}) {
    static_assert(W::kAnswers);
    return call_raw(caller, W::kOpcode, context, stream, bytes_of(request), payload,
                    std::as_writable_bytes(std::span(&reply, 1)));
}

/// For generated functions: a synchronous call in the current context, if it needs one.
template <typename W>
CUresult call(const typename W::Request& request, typename W::Reply& reply,
              std::span<const std::byte> payload = {}) {
    Caller caller;
    const CUresult error = W::kNeedsContext ? enter(caller) : enter_session(caller);
    if (error != CUDA_SUCCESS) return error;
    return call_in<W>(caller, caller.thread->current(), {}, request, reply, payload);
}

/// Before an operation is posted to a stream that many are queued in: waits for the earlier ones.
CUresult pace_slowly(const Caller& caller, Stream& stream);
[[gnu::always_inline]] inline CUresult pace(const Caller& caller, Stream& stream) {
    const std::uint32_t posted = stream.posted.fetch_add(1, std::memory_order_relaxed) + 1;
    return posted < kMaxUnfinished / 2 ? CUDA_SUCCESS : pace_slowly(Caller(caller), stream);
}

/// Sends work to a stream and does not wait. `position`, if wanted, is the end of its record.
template <typename W>
CUresult post(const Caller& caller, Stream& stream, const typename W::Request& request,
              std::span<const std::byte> payload = {}, Position* position = nullptr) {
    static_assert(!W::kAnswers);
    if (const CUresult error = pace(caller, stream); error != CUDA_SUCCESS) return error;
    const transport::Posted posted =
        caller.channel().post({static_cast<std::uint32_t>(W::kOpcode), caller.thread->number,
                               stream.context.bits(), stream.handle.bits()},
                              request, payload);
    if (posted.error != transport::Error::kNone) return session_error(posted.error);
    raise(stream.last, posted.position);
    if (position != nullptr) *position = posted.position;
    return CUDA_SUCCESS;
}

/// For generated functions: the same by handle, in the current context.
template <typename W>
CUresult post(StreamHandle handle, const typename W::Request& request,
              std::span<const std::byte> payload = {}) {
    Caller caller;
    if (const CUresult error = enter(caller); error != CUDA_SUCCESS) return error;
    Stream* stream = handle ? caller.session->streams.find(handle) : &caller.context->legacy;
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return post<W>(caller, *stream, request, payload);
}

/// The same for work that goes to a stream and whose answer is waited for. `position`, if wanted,
/// is the end of its record.
template <typename W>
CUresult call_in(const Caller& caller, Stream& stream, const typename W::Request& request,
                 typename W::Reply& reply, Position* position = nullptr) {
    Position end = 0;
    const CUresult result =
        call_raw(caller, W::kOpcode, stream.context, stream.handle, bytes_of(request), {},
                 std::as_writable_bytes(std::span(&reply, 1)), &end);
    raise(stream.last, end);
    if (position != nullptr) *position = end;
    return result;
}

/// Waits until the stream's work up to `position` is complete: by its fence if that comes soon,
/// else by asking the host. Reports the errors of that work.
CUresult wait_for(const Caller& caller, Stream& stream, Position position);

/// Waits for the stream's fence as long as it may come soon. False: ask the host.
bool await_fence(const Caller& caller, const Stream& stream, Position position);

/// Has the host wait for all work of the stream, and fetches what its kernels printed.
CUresult synchronize_on_host(const Caller& caller, Stream& stream);
/// The same for all streams of a context.
CUresult synchronize_on_host(const Caller& caller, Context& context);

/// True if the stream's fence says so; sends nothing.
bool completed(const Caller& caller, const Stream& stream, Position position);

}  // namespace cubar::guest
