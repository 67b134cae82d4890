// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "libcuda/call.h"
#include "libcuda/kernel.h"
#include "libcuda/kernel_facts.h"
#include "libcuda/session.h"

namespace cubar::guest {

/// The host has accepted a new value of a function's attribute: what was told and asked before may
/// be different now.
void attribute_was_set(Session& session, KernelFacts& facts, CUfunction_attribute attribute,
                       int value);

/// CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE unless so many blocks can be resident at once.
CUresult check_cooperative(const Caller& caller, const Callee& callee, std::uint64_t blocks,
                           std::uint32_t block_threads, std::uint32_t shared_bytes);

}  // namespace cubar::guest
