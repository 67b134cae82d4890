// SPDX-License-Identifier: Apache-2.0
#include "libcuda/call.h"

#include "driver/log.h"
#include "libcuda/output.h"

namespace cubar::guest {
namespace {

// A legacy stream waits for the others, so its own fence says little while there are any, or while
// those that were destroyed may have work left.
bool waits_for_others(const Caller& caller, const Stream& stream) {
    if (stream.handle) return false;
    const Context* context = caller.session->contexts.find(stream.context);
    return context == nullptr || context->blocking_streams.load(std::memory_order_relaxed) != 0 ||
           context->orphaned_blocking.load(std::memory_order_relaxed) >
               stream.proven.load(std::memory_order_relaxed);
}

/// The handle that an application gives, if this table of its session holds it; else `error`.
template <Kind K, typename Table, typename Pointer>
CUresult live(Table Session::*table, Pointer* value, Handle<K>& out, CUresult error) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    const Handle<K> handle(bits_of(value));
    if ((caller.session->*table).find(handle) == nullptr) return error;
    out = handle;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult call_raw(const Caller& caller, Opcode opcode, ContextHandle context, StreamHandle stream,
                  std::span<const std::byte> request, std::span<const std::byte> payload,
                  std::span<std::byte> reply, Position* position) {
    if (const CUresult lost = caller.session->lost(); lost != CUDA_SUCCESS) return lost;
    const transport::Answer answer = caller.channel().call(
        {static_cast<std::uint32_t>(opcode), caller.thread->number, context.bits(), stream.bits()},
        request, payload, reply);
    if (answer.error != transport::Error::kNone) {
        if (caller.session->lost() == CUDA_SUCCESS) {
            CUBAR_LOG(kError, "call %u: %s", static_cast<unsigned>(opcode),
                      transport::describe(answer.error));
        }
        const CUresult error = session_error(answer.error);
        // Nobody answers any more: later calls need not wait to find that out.
        if (error == CUDA_ERROR_DEVICE_UNAVAILABLE) caller.session->lose(error);
        return caller.session->lost() != CUDA_SUCCESS ? caller.session->lost() : error;
    }
    if (position != nullptr) *position = answer.position;
    const auto result = static_cast<CUresult>(answer.result);
    // Any call may be the first that hears of it. What its text needs, a faulted context answers.
    if (result == CUDA_ERROR_ASSERT) fetch_output(caller);
    return result;
}

bool completed(const Caller& caller, const Stream& stream, Position position) {
    if (stream.prints.load(std::memory_order_relaxed) || waits_for_others(caller, stream)) {
        return false;
    }
    return position <= stream.proven.load(std::memory_order_relaxed) ||
           caller.channel().reached(stream.fence, position);
}

bool await_fence(const Caller& caller, const Stream& stream, Position position) {
    if (completed(caller, stream, position)) return true;
    if (stream.fence == kNoFence || stream.prints.load(std::memory_order_relaxed) ||
        waits_for_others(caller, stream)) {
        return false;
    }
    return caller.channel().wait_fence(stream.fence, position,
                                       transport::now() + transport::kFencePatience) ==
           transport::Error::kNone;
}

CUresult wait_for(const Caller& caller, Stream& stream, Position position) {
    if (!await_fence(caller, stream, position)) return synchronize_on_host(caller, stream);
    return caller.session->deferred_error(stream.context);
}

CUresult synchronize_on_host(const Caller& caller, Stream& stream) {
    const bool printed = stream.prints.exchange(false, std::memory_order_relaxed);
    // Of other streams' work a legacy stream's wait proves what it waits for.
    const Position before =
        stream.handle ? stream.last.load(std::memory_order_relaxed) : caller.channel().position();
    wire::cuStreamSynchronize::Request request{};
    request.hStream = stream.handle;
    wire::cuStreamSynchronize::Reply reply{};
    const CUresult result =
        call_in<wire::cuStreamSynchronize>(caller, stream.context, stream.handle, request, reply);
    if (result == CUDA_SUCCESS) raise(stream.proven, before);
    if (printed) fetch_output(caller);
    return result;
}

CUresult pace_slowly(const Caller& caller, Stream& stream) {
    stream.posted.store(0, std::memory_order_relaxed);
    if (caller.session->captures.any()) {
        CUBAR_TRY(caller.session->captures.check_work(*caller.session, stream));
        // What is captured does not run, and nobody can wait for it.
        if (is_capturing(stream)) return CUDA_SUCCESS;
    }
    const Position before = stream.paced_at.exchange(stream.last.load(std::memory_order_relaxed),
                                                     std::memory_order_relaxed);
    return wait_for(caller, stream, before);
}

CUresult handle_of(CUcontext value, ContextHandle& out) {
    return live(&Session::contexts, value, out, CUDA_ERROR_INVALID_CONTEXT);
}
CUresult handle_of(CUstream value, StreamHandle& out) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    out = stream->handle;
    return CUDA_SUCCESS;
}
CUresult handle_of(CUevent value, EventHandle& out) {
    return live(&Session::events, value, out, CUDA_ERROR_INVALID_HANDLE);
}
CUresult handle_of(CUmodule value, ModuleHandle& out) {
    return live(&Session::modules, value, out, CUDA_ERROR_INVALID_HANDLE);
}
CUresult handle_of(CUlibrary value, LibraryHandle& out) {
    return live(&Session::libraries, value, out, CUDA_ERROR_INVALID_HANDLE);
}
CUresult handle_of(CUkernel value, KernelHandle& out) {
    return live(&Session::kernels, value, out, CUDA_ERROR_INVALID_HANDLE);
}
CUresult handle_of(CUfunction value, FunctionHandle& out) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    const AnyHandle handle(bits_of(value));
    out = FunctionHandle(handle.bits());
    const bool found = handle.kind() == Kind::kKernel
                           ? caller.session->kernels.find(KernelHandle(handle.bits())) != nullptr
                           : caller.session->functions.find(out) != nullptr;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult handle_of(CUgraphNode value, GraphNodeHandle& out) {
    out = GraphNodeHandle(bits_of(value));
    return out.kind() == Kind::kGraphNode ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult handle_of(CUuserObject value, UserObjectHandle& out) {
    out = UserObjectHandle(bits_of(value));
    return out.kind() == Kind::kUserObject ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult handle_of(CUgraph value, GraphHandle& out) {
    return live(&Session::graphs, value, out, CUDA_ERROR_INVALID_VALUE);
}
CUresult handle_of(CUgraphExec value, GraphExecHandle& out) {
    return live(&Session::graph_execs, value, out, CUDA_ERROR_INVALID_VALUE);
}

CUresult device_of(CUdevice device, std::int32_t& out) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (!process->has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    out = static_cast<std::int32_t>(process->host_device(device));
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest
