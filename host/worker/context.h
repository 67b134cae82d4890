// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <optional>

#include "cubar/handle.h"
#include "host/worker/session.h"
#include "host/worker/try.h"

namespace cubar::host {

/// Asks the ledger for what a context takes for itself, before it is made; keep it when it is. No
/// value: refused. An empty charge where that is nothing, or not known.
std::optional<Allocations::Charge> charge_context(Session& session, CUdevice device);

/// Takes a context of the driver into the session, makes it current, and lets it page-lock what is
/// shared. On failure the caller disposes of the context.
CUresult adopt_context(Session& session, CUcontext context, CUdevice device, bool primary,
                       ContextHandle& out);

/// What the guest is told of a context that is current: the fields that the replies have in common.
template <typename Reply>
CUresult describe_context(Session& session, ContextHandle handle, Reply& reply) {
    const Driver& driver = session.driver();
    const ContextObject* object = session.contexts.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    unsigned long long id = 0;
    CUBAR_TRY(ask(driver.cuCtxGetId, object->context, &id));
    CUBAR_TRY(ask(driver.cuCtxGetApiVersion, object->context, &reply.api_version));
    CUBAR_TRY(
        ask(driver.cuCtxGetStreamPriorityRange, &reply.least_priority, &reply.greatest_priority));
    reply.id = id;
    reply.context = handle;
    reply.legacy_fence = object->fence;
    return CUDA_SUCCESS;
}

/// Before the driver ends a context: forgets all handles of what lives in it, and the context's
/// own.
void forget_context(Session& session, ContextHandle handle);
/// After it: what else depended on it.
void after_context(Session& session, ContextHandle handle);

}  // namespace cubar::host
