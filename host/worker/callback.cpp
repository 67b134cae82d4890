// SPDX-License-Identifier: Apache-2.0
#include "host/worker/callback.h"

#include <atomic>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

std::atomic<HostCalls*> current{nullptr};

void run_current(void* call, CUresult status) {
    HostCalls* calls = current.load(std::memory_order_acquire);
    if (calls != nullptr) calls->run(reinterpret_cast<std::uint64_t>(call), status);
}

}  // namespace

HostCalls::HostCalls() {
    current.store(this, std::memory_order_release);
}

HostCalls::~HostCalls() {
    current.store(nullptr, std::memory_order_release);
}

void CUDA_CB HostCalls::host_function(void* call) {
    run_current(call, CUDA_SUCCESS);
}

void CUDA_CB HostCalls::stream_callback(CUstream, CUresult status, void* call) {
    run_current(call, status);
}

void HostCalls::run(std::uint64_t call, CUresult status) {
    std::unique_lock lock(mutex_);
    const std::uint64_t ticket = ++last_ticket_;
    due_.push_back({call, ticket, status});
    running_.insert(ticket);
    changed_.notify_all();
    changed_.wait(lock, [&] { return closed_ || !running_.contains(ticket); });
}

HostCalls::Due HostCalls::next(std::uint64_t finished, bool wait) {
    std::unique_lock lock(mutex_);
    if (running_.erase(finished) != 0) changed_.notify_all();
    if (wait) {
        changed_.wait(lock, [&] { return closed_ || interrupted_ || !due_.empty(); });
        interrupted_ = false;
    }
    if (due_.empty()) return {};
    const Due due = due_.front();
    due_.pop_front();
    return due;
}

void HostCalls::interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
}

void HostCalls::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
}

CUresult handle_host_call_wait(Session& session, const transport::Record&,
                               const wire::host_call_wait::Request& request,
                               std::span<const std::byte>, wire::host_call_wait::Reply& reply) {
    const HostCalls::Due due = session.host_calls.next(request.finished, request.wait != 0);
    if (due.call != 0) session.graphs.user_object_ended(due.call);
    reply.call = due.call;
    reply.ticket = due.ticket;
    reply.status = static_cast<std::uint32_t>(due.status);
    return CUDA_SUCCESS;
}

CUresult handle_host_call_idle(Session& session, const transport::Record&,
                               const wire::host_call_idle::Request&, std::span<const std::byte>,
                               wire::host_call_idle::Reply&) {
    session.host_calls.interrupt();
    return CUDA_SUCCESS;
}

CUresult handle_cuLaunchHostFunc(Session& session, const transport::Record& record,
                                 const wire::cuLaunchHostFunc::Request& request,
                                 std::span<const std::byte>, wire::cuLaunchHostFunc::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    return ask(session.driver().cuLaunchHostFunc, stream, &HostCalls::host_function,
               host_call_data(request.call));
}

CUresult handle_cuStreamAddCallback(Session& session, const transport::Record& record,
                                    const wire::cuStreamAddCallback::Request& request,
                                    std::span<const std::byte>, wire::cuStreamAddCallback::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    return ask(session.driver().cuStreamAddCallback, stream, &HostCalls::stream_callback,
               host_call_data(request.call), 0U);
}

}  // namespace cubar::host
