// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"

namespace cubar::guest {

/// Writes to this process's standard output what kernels printed up to the last synchronisation,
/// and to its standard error what was said of asserts that failed.
void fetch_output(const Caller& caller);

}  // namespace cubar::guest
