// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/capture.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::ContextRef;
using device::Driver;
using device::StreamRef;

namespace {

CUresult create(const char* function, CUstream* handle, unsigned flags, int priority) {
    return entry(function, [&](Driver& driver) {
        require_value(handle != nullptr && (flags & ~unsigned{CU_STREAM_NON_BLOCKING}) == 0,
                      "an argument");
        const ContextRef context = driver.current_healthy();
        *handle = driver.streams.insert(context->streams().create(flags, priority));
    });
}

CUresult destroy(const char* function, CUstream handle) {
    return entry(function, [&](Driver& driver) {
        const StreamRef stream = driver.streams.remove(handle);
        require(stream != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such stream");
        driver.captures().drop_stream(stream);
        if (const ContextRef context = driver.find_context(stream->context()))
            context->streams().remove(stream);
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned int flags) {
    return create(__func__, stream, flags, 0);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamCreateWithPriority(CUstream* stream, unsigned int flags,
                                                         int priority) {
    return create(__func__, stream, flags, priority);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamDestroy(CUstream stream) {
    return destroy(__func__, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamDestroy_v2(CUstream stream) {
    return destroy(__func__, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamQuery(CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        driver.captures().forbid(place.stream);
        const bool idle = place.stream->idle();
        place.context->require_healthy();
        return idle ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamSynchronize(CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        driver.captures().forbid(place.stream);
        place.order().wait_for(place.stream);
        driver.pools().observe();
        place.context->flush_prints();
        place.context->require_healthy();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent handle,
                                                unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value((flags & ~unsigned{CU_EVENT_WAIT_EXTERNAL}) == 0, "unknown flags");
        const api::StreamPlace place = api::stream_of(driver, stream);
        const device::EventRef event = driver.events.find(handle);
        require(event != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such event");
        const bool external = (flags & CU_EVENT_WAIT_EXTERNAL) != 0;
        if (driver.captures().take_wait(event, handle, place.stream, external)) return;
        device::Point point = event->point();
        if (point.done()) return;
        place.order().submit(place.stream, device::make_task([] {}), {std::move(point)});
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetFlags(CUstream stream, unsigned int* flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags != nullptr, "a null pointer");
        *flags = api::stream_of(driver, stream).stream->flags();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetPriority(CUstream stream, int* priority) {
    return entry(__func__, [&](Driver& driver) {
        require_value(priority != nullptr, "a null pointer");
        *priority = api::stream_of(driver, stream).stream->attributes().priority();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetId(CUstream stream, unsigned long long* id) {
    return entry(__func__, [&](Driver& driver) {
        require_value(id != nullptr, "a null pointer");
        *id = api::stream_of(driver, stream).stream->id();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetCtx(CUstream stream, CUcontext* context) {
    return entry(__func__, [&](Driver& driver) {
        require_value(context != nullptr, "a null pointer");
        *context = api::stream_of(driver, stream).context->handle();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetCtx_v2(CUstream stream, CUcontext* context,
                                                CUgreenCtx* green) {
    return entry(__func__, [&](Driver& driver) {
        require_value(context != nullptr, "a null pointer");
        *context = api::stream_of(driver, stream).context->handle();
        if (green != nullptr) *green = nullptr;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamGetDevice(CUstream stream, CUdevice* ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(ordinal != nullptr, "a null pointer");
        *ordinal = api::stream_of(driver, stream).context->device().ordinal();
    });
}
