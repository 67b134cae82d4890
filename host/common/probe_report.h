// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cubar/layout.h"

namespace cubar::host {

/// What a probe writes to cubard (WorkerArguments::output_fd), whole.
struct ProbeReport {
    Facts facts;  ///< for the guest
    /// Device memory that a context takes for itself, beside what is allocated in it. 0: none, as
    /// on softgpu, or not known.
    std::uint64_t context_bytes[kMaxDevices];
};

}  // namespace cubar::host
