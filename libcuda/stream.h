// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/thread_state.h"

namespace cubar::guest {

/// The thread ends: the streams that stood for its CU_STREAM_PER_THREAD are no more, once their
/// work is done.
void destroy_thread_streams(ThreadState& thread);

}  // namespace cubar::guest
