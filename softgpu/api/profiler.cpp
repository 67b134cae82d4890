// SPDX-License-Identifier: Apache-2.0
// Collection is switched on and off for a profiler that is attached. None can be, and then CUDA
// says that these calls have no effect.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <cudaProfiler.h>

#include "softgpu/api/entry.h"

using namespace cubar::softgpu;

CUBAR_EXPORT CUresult CUDAAPI cuProfilerStart(void) {
    return api::entry(__func__, [](device::Driver& driver) { driver.current(); });
}

CUBAR_EXPORT CUresult CUDAAPI cuProfilerStop(void) {
    return api::entry(__func__, [](device::Driver& driver) { driver.current(); });
}
