// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "libcuda/kernel_facts.h"
#include "libcuda/session.h"

namespace cubar::guest {

/// The host has accepted a new value of a function's attribute: what was told and asked before may
/// be different now.
void attribute_was_set(Session& session, KernelFacts& facts, CUfunction_attribute attribute,
                       int value);

}  // namespace cubar::guest
