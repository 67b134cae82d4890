// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>

#include "driver/context_storage.h"
#include "libcuda/call.h"

namespace cubar::guest {

/// Fills `caller` and begins the session if there is none: for calls that make contexts.
CUresult enter_or_begin(Caller& caller);

/// What the host tells of a context that it made.
struct ContextFacts {
    ContextHandle handle;
    int device;
    bool primary;
    unsigned flags;
    std::uint32_t api_version;
    std::uint64_t id;
    std::int32_t least_priority;
    std::int32_t greatest_priority;
    std::uint32_t legacy_fence;
};
CUresult mirror_context(const Caller& caller, const ContextFacts& facts);

/// The handle of a device's primary context, made if need be and not retained.
CUresult primary_context(CUdevice device, CUcontext& out);

/// Storage of a live context; null if there is none.
std::shared_ptr<driver::ContextStorage> context_storage(CUcontext context);

/// Runs the destructors of what runtimes keep with a context that is about to be destroyed: while
/// it still lives, since they may use it, and without any lock, since they take their own.
void clear_storage(const Session& session, ContextHandle context);

/// True if kernels of the context that print were launched since it was synchronised last; clears
/// it.
bool take_prints(const Caller& caller, Context& context);

/// Forgets a context that the host has destroyed, and all that lived in it.
void drop_context(const Caller& caller, ContextHandle context);

/// Waits for all work of the context; sends nothing where every stream's fence says so.
CUresult synchronize_context(const Caller& caller, Context& context);

}  // namespace cubar::guest
