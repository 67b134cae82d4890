// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

/// Returns from the calling function unless `expression` is CUDA_SUCCESS.
#define CUBAR_TRY(expression)                                \
    do {                                                     \
        const CUresult cubar_error = (expression);           \
        if (cubar_error != CUDA_SUCCESS) return cubar_error; \
    } while (false)

namespace cubar::host {

/// Calls a function of the driver, which may lack it.
template <typename Function, typename... Arguments>
CUresult ask(Function* function, Arguments... arguments) {
    return function != nullptr ? function(arguments...) : CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace cubar::host
