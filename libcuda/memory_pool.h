// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"

namespace cubar::guest {

/// The application has waited for the stream, or for its whole context, and a fence may have said
/// that it is done: if memory was freed in the order of a stream since, has the host wait as well,
/// so that the driver gives back what its pools need not keep.
void observe_frees(const Caller& caller, ContextHandle context, StreamHandle stream,
                   bool whole_context);

}  // namespace cubar::guest
