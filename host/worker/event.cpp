// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

CUresult handle_cuEventCreate(Session& session, const transport::Record& record,
                              const wire::cuEventCreate::Request& request,
                              std::span<const std::byte>, wire::cuEventCreate::Reply& reply) {
    CUevent event = nullptr;
    CUBAR_TRY(ask(session.driver().cuEventCreate, &event, request.Flags));
    reply.phEvent = session.events.adopt([&](EventObject& object) {
        object.event = event;
        object.context = ContextHandle(record.header().context);
    });
    if (reply.phEvent) return CUDA_SUCCESS;
    ask(session.driver().cuEventDestroy_v2, event);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuEventDestroy_v2(Session& session, const transport::Record&,
                                  const wire::cuEventDestroy_v2::Request& request,
                                  std::span<const std::byte>, wire::cuEventDestroy_v2::Reply&) {
    CUevent event = nullptr;
    CUBAR_TRY(session.resolve(request.hEvent, event));
    if (!session.events.forget(request.hEvent)) return CUDA_ERROR_INVALID_HANDLE;
    return ask(session.driver().cuEventDestroy_v2, event);
}

}  // namespace cubar::host
