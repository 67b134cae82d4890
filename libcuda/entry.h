// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "libcuda/process.h"

/// Marks a function of the driver API: the only symbols that this library exports.
#define CUBAR_API extern "C" __attribute__((visibility("default"))) CUresult CUDAAPI

namespace cubar::guest {

/// The first check of each function that needs cuInit.
inline CUresult entered(Process*& out) {
    out = Process::get();
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

}  // namespace cubar::guest

/// Leaves the function with the error of `expression`, if it has one.
#define CUBAR_TRY(expression)                                                       \
    do {                                                                            \
        if (const CUresult cubar_error = (expression); cubar_error != CUDA_SUCCESS) \
            return cubar_error;                                                     \
    } while (false)
