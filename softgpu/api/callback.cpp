// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/capture.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/issue.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;

CUBAR_EXPORT CUresult CUDAAPI cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    return entry(__func__, [&](Driver& driver) {
        require_value(function != nullptr, "a null pointer");
        const api::StreamPlace place = api::stream_of(driver, stream);
        device::issue(*place.context, place.stream,
                      std::make_shared<device::HostWork>(function, data));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamAddCallback(CUstream stream, CUstreamCallback callback,
                                                  void* data, unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(callback != nullptr && flags == 0, "an argument");
        const api::StreamPlace place = api::stream_of(driver, stream);
        // CUDA does not capture these.
        driver.captures().forbid_capture(place.stream);
        // Called in a faulted context too, with the context's error.
        place.order().submit(place.stream,
                             device::make_unskippable_callback_task(
                                 [=](CUresult status) { callback(stream, status, data); }));
    });
}
