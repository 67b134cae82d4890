// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>
#include <cudaProfiler.h>

#include <string>

#include "cubar/host/driver_functions.h"

namespace cubar::host {

/// The CUDA driver that this worker replays on: NVIDIA's libcuda.so.1 or softgpu's, by their one
/// common interface, the CUDA driver API itself. A function that the library lacks is null.
struct Driver {
#define CUBAR_DRIVER_FUNCTION(name) decltype(&::name) name = nullptr;
    CUBAR_DRIVER_FUNCTIONS(CUBAR_DRIVER_FUNCTION)
#undef CUBAR_DRIVER_FUNCTION

    /// Loads the library at `path` (or found by the system, for a plain name) for the life of the
    /// process. Returns what went wrong, or an empty string.
    std::string load(const std::string& path);
};

}  // namespace cubar::host
