// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/stream_handle.h"

#include "softgpu/device/error.h"

namespace cubar::softgpu::api {

using device::require;

StreamPlace stream_of(device::Driver& driver, CUstream stream) {
    const bool own = stream == CU_STREAM_PER_THREAD;
    if (own || stream == nullptr || stream == CU_STREAM_LEGACY) {
        device::ContextRef context = driver.current_healthy();
        device::StreamRef found =
            own ? context->streams().per_thread() : context->streams().legacy();
        return {std::move(context), std::move(found)};
    }
    device::StreamRef found = driver.streams.find(stream);
    require(found != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such stream");
    device::ContextRef context = driver.find_context(found->context());
    require(context != nullptr, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the stream's context has ended");
    context->require_healthy();
    return {std::move(context), std::move(found)};
}

StreamPlace stream_of_current(device::Driver& driver, CUstream stream) {
    const device::ContextRef current = driver.current_healthy();
    StreamPlace place = stream_of(driver, stream);
    require(place.context == current, CUDA_ERROR_INVALID_HANDLE,
            "the stream belongs to another context");
    return place;
}

}  // namespace cubar::softgpu::api
