// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/arena_view.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// Page-locking needs some context, and any will do. Without one the granules are locked later.
void make_any_current(Session& session, ContextHandle wanted) {
    if (wanted && session.make_current(wanted) == CUDA_SUCCESS) return;
    ContextHandle any;
    session.contexts.for_each([&](ContextHandle handle, const ContextObject&) { any = handle; });
    if (any) session.make_current(any);
}

}  // namespace

CUresult handle_arena_lease(Session& session, const transport::Record& record,
                            const wire::arena_lease::Request& request, std::span<const std::byte>,
                            wire::arena_lease::Reply& reply) {
    if (request.bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    const std::uint64_t granules =
        request.bytes / kGranuleBytes + (request.bytes % kGranuleBytes != 0 ? 1 : 0);
    make_any_current(session, ContextHandle(record.header().context));
    const auto lease = session.arena().lease(granules);
    if (!lease) return CUDA_ERROR_OUT_OF_MEMORY;
    reply.offset = lease->offset;
    reply.bytes = granules * kGranuleBytes;
    reply.registered = lease->registered ? 1 : 0;
    return CUDA_SUCCESS;
}

CUresult handle_arena_return(Session& session, const transport::Record& record,
                             const wire::arena_return::Request& request, std::span<const std::byte>,
                             wire::arena_return::Reply&) {
    if (request.bytes == 0 || request.bytes % kGranuleBytes != 0) return CUDA_ERROR_INVALID_VALUE;
    make_any_current(session, ContextHandle(record.header().context));
    return session.arena().give_back(request.offset, request.bytes / kGranuleBytes)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace cubar::host
