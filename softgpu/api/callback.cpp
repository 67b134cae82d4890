// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;

CUBAR_EXPORT CUresult CUDAAPI cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    return entry(__func__, [&](Driver& driver) {
        require_value(function != nullptr, "a null pointer");
        const api::StreamPlace place = api::stream_of(driver, stream);
        // Not called in a faulted context, as CUDA documents.
        place.order().submit(place.stream, device::make_callback_task([=] { function(data); }));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamAddCallback(CUstream stream, CUstreamCallback callback,
                                                  void* data, unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(callback != nullptr && flags == 0, "an argument");
        const api::StreamPlace place = api::stream_of(driver, stream);
        // Called in a faulted context too, with the context's error.
        place.order().submit(place.stream,
                             device::make_unskippable_callback_task(
                                 [=](CUresult status) { callback(stream, status, data); }));
    });
}
