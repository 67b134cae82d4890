// SPDX-License-Identifier: Apache-2.0
#include "libcuda/session.h"

#include <time.h>

#include <cstdlib>
#include <new>

#include "driver/log.h"
#include "libcuda/output.h"
#include "libcuda/own_thread.h"

namespace cubar::guest {

CUresult session_error(transport::Error error) {
    using transport::Error;
    switch (error) {
        case Error::kNone:
            return CUDA_SUCCESS;
        case Error::kForked:
            return CUDA_ERROR_NOT_INITIALIZED;
        case Error::kNoMemory:
            return CUDA_ERROR_OUT_OF_MEMORY;
        case Error::kTooLarge:
            return CUDA_ERROR_INVALID_VALUE;
        case Error::kLayoutVersion:
        case Error::kProtocol:
            return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
        // Everything else means that there is no host, or none any more, that answers this process.
        default:
            return CUDA_ERROR_DEVICE_UNAVAILABLE;
    }
}

namespace {

// As CUDA, the session ends with the process: calls that come later, from other threads or from
// destructors, find it dead. Registered when the session has begun, so it runs before the
// destructors of whatever was there earlier.
Session* ending_session = nullptr;

void end_session() {
    ending_session->lose(CUDA_ERROR_DEINITIALIZED);
    ending_session->channel().end();
}

}  // namespace

Session::Session(std::unique_ptr<transport::Channel> channel) : channel_(std::move(channel)) {}

transport::Result<std::unique_ptr<Session>> Session::begin(transport::Device& device) {
    using transport::Error;
    using transport::Failure;
    auto channel = transport::Channel::open(device);
    if (!channel) return channel.failure();
    std::unique_ptr<Session> session(new (std::nothrow) Session(std::move(*channel)));
    if (!session) return Failure::make(Error::kNoMemory, 0, "no memory for the session");
    ending_session = session.get();
    std::atexit(end_session);
    session->start_service();
    CUBAR_LOG(kInfo, "session %llu on channel %u of %s",
              static_cast<unsigned long long>(session->channel().session_id()),
              session->channel().number(), device.name());
    return session;
}

// One thread, which sleeps but for one look a second, frees the channels of processes that died in
// this VM: nobody else is there to see it.
void Session::start_service() {
    const auto serve = [](void* self) -> void* {
        static_cast<Session*>(self)->serve();
        return nullptr;
    };
    if (!start_own_thread("cubar-service", serve, this)) {
        CUBAR_LOG(kWarn, "no service thread: channels of processes that die stay taken longer");
    }
}

void Session::serve() {
    while (channel_->status() == transport::Error::kNone) {
        channel_->reap();
        const timespec second{1, 0};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &second, nullptr);
    }
}

CUresult Session::deferred_error(ContextHandle context, CUresult code) {
    if (channel_->deferred_error_context() != context.bits()) return CUDA_SUCCESS;
    const Position position = channel_->deferred_error_position();
    const bool first = reported_.exchange(position, std::memory_order_relaxed) != position;
    if (!ends_context(code)) return first ? code : CUDA_SUCCESS;  // others are told once
    if (first && code == CUDA_ERROR_ASSERT) {
        fetch_output({.process = Process::get(), .session = this, .thread = this_thread()});
    }
    return code;
}

}  // namespace cubar::guest
