// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"

namespace cubar::guest {

/// Writes to this process's standard output what kernels printed up to the last synchronisation.
void fetch_output(const Caller& caller);

}  // namespace cubar::guest
