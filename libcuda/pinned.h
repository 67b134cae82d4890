// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/address_map.h"
#include "libcuda/session.h"

namespace cubar::guest {

/// Frees pinned memory that was forgotten with its context.
void free_pinned(Session& session, const MemoryRange& range);

}  // namespace cubar::guest
