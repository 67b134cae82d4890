// SPDX-License-Identifier: Apache-2.0
#pragma once

// Device memory for what kernels keep for each thread (spilled registers, arrays, frames). The
// driver has room in a context for as much as its hungriest kernel wants, times all threads that
// the device holds at once, from that kernel's first launch until the context ends: half a MiB for
// each thread can be all that a GPU has. So it is charged before such a launch.

#include <cstdint>

#include "host/worker/session.h"

namespace cubar::host {

/// How many threads the device holds at once.
CUresult resident_threads(const Driver& driver, CUdevice device, std::uint64_t& threads);

/// Before a kernel is launched in the context, or becomes a node of a graph: asks the ledger where
/// it wants more than any before it. OUT_OF_MEMORY: refused, and nothing is changed. Costs two
/// loads where the kernel has been seen. Thread-safe.
CUresult charge_local_memory(Session& session, ContextHandle context, KernelObject& kernel);
CUresult charge_local_memory(Session& session, ContextHandle context, FunctionObject& function);

}  // namespace cubar::host
