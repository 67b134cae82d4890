// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "host/worker/driver.h"

namespace cubar::host {

/// Page-locks memory through the current context, for the GPU in all contexts to read and write at
/// its own address. False: the driver refuses, or shows it at another address.
bool lock_at_own_address(const Driver& driver, void* memory, std::size_t bytes);

}  // namespace cubar::host
