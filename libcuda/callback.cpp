// SPDX-License-Identifier: Apache-2.0
// Host functions and callbacks: the host's driver decides when, a thread of this process calls.
#include "libcuda/callback.h"

#include <pthread.h>

#include "driver/log.h"
#include "libcuda/capture_rules.h"
#include "libcuda/graph_copy.h"
#include "libcuda/own_thread.h"

namespace cubar::guest {

std::uint64_t HostCalls::add(const HostCall& call) {
    const std::lock_guard lock(mutex_);
    if (!started_ && !start()) return 0;
    const std::uint64_t number = ++last_number_;
    calls_.emplace(number, call);
    pthread_cond_signal(&changed_);
    return number;
}

void HostCalls::remove(std::uint64_t number) {
    bool idle = false;
    {
        const std::lock_guard lock(mutex_);
        idle = calls_.erase(number) != 0 && calls_.empty();
    }
    // The thread waits at the host for what will not come.
    Caller caller;
    if (!idle || enter_session(caller) != CUDA_SUCCESS) return;
    session_.channel().post(
        {static_cast<std::uint32_t>(wire::host_call_idle::kOpcode), caller.thread->number, 0, 0},
        wire::host_call_idle::Request{});
}

bool HostCalls::start() {
    const auto serve = [](void* self) -> void* {
        static_cast<HostCalls*>(self)->serve();
        return nullptr;
    };
    started_ = start_own_thread("cubar-callback", serve, this);
    if (!started_) CUBAR_LOG(kError, "no thread for callbacks: this process may have too many");
    return started_;
}

HostCall HostCalls::take(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(number);
    if (found == calls_.end()) return {};
    const HostCall call = found->second;
    if (call.once) calls_.erase(found);
    return call;
}

HostCall HostCalls::find(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(number);
    return found != calls_.end() ? found->second : HostCall{};
}

void HostCalls::run(const HostCall& call, CUresult status) {
    if (call.callback != nullptr) return call.callback(call.stream, status, call.data);
    if (call.function == nullptr) return;
    if (call.graph != nullptr) show_stand_ins(session_, *call.graph);
    call.function(call.data);
    if (call.graph != nullptr) refill_stand_ins(session_, *call.graph);
}

void HostCalls::serve() {
    wire::host_call_wait::Request request{};
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            // What is finished the host must hear in any case.
            while (request.finished == 0 && calls_.empty())
                pthread_cond_wait(&changed_, mutex_.native_handle());
            request.wait = calls_.empty() ? 0 : 1;
        }
        Caller caller;
        wire::host_call_wait::Reply reply{};
        if (enter_session(caller) != CUDA_SUCCESS ||
            call_in<wire::host_call_wait>(caller, {}, {}, request, reply) != CUDA_SUCCESS) {
            return;
        }
        request.finished = reply.ticket;
        if (reply.ticket != 0) run(take(reply.call), static_cast<CUresult>(reply.status));
    }
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuLaunchHostFunc(CUstream value, CUhostFn function, void* data) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    std::shared_ptr<GraphResources> graph;
    if (is_capturing(*stream)) graph = caller.session->captures.resources(*stream);
    HostCall call;
    call.function = function;
    call.data = data;
    call.once = graph == nullptr;
    call.graph = graph.get();
    wire::cuLaunchHostFunc::Request request{};
    request.call = caller.session->host_calls.add(call);
    if (request.call == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = post<wire::cuLaunchHostFunc>(caller, *stream, request);
    if (result != CUDA_SUCCESS) {
        caller.session->host_calls.remove(request.call);
    } else if (graph != nullptr) {
        graph->add_call(*caller.session, request.call);
    }
    return result;
}

CUBAR_API cuStreamAddCallback(CUstream value, CUstreamCallback callback, void* data,
                              unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (callback == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    // CUDA does not capture these.
    CUBAR_TRY(forbid_wait(caller, *stream));
    HostCall call;
    call.callback = callback;
    call.stream = value;
    call.data = data;
    wire::cuStreamAddCallback::Request request{};
    request.call = caller.session->host_calls.add(call);
    if (request.call == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = post<wire::cuStreamAddCallback>(caller, *stream, request);
    if (result != CUDA_SUCCESS) caller.session->host_calls.remove(request.call);
    return result;
}
