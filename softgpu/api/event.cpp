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
using device::Event;
using device::EventRef;

namespace {

constexpr unsigned kEventFlags =
    CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;

EventRef event_of(Driver& driver, CUevent handle) {
    EventRef event = driver.events.find(handle);
    require(event != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such event");
    return event;
}

/// The context of an event; throws its sticky error.
ContextRef healthy_context_of(Driver& driver, const Event& event) {
    ContextRef context = driver.find_context(event.context());
    require(context != nullptr, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the event's context has ended");
    context->require_healthy();
    return context;
}

CUresult destroy(const char* function, CUevent handle) {
    return entry(function, [&](Driver& driver) {
        require(driver.events.remove(handle) != nullptr, CUDA_ERROR_INVALID_HANDLE,
                "no such event");
    });
}

CUresult record(const char* function, CUevent handle, CUstream stream, unsigned flags) {
    return entry(function, [&](Driver& driver) {
        // CU_EVENT_RECORD_EXTERNAL says something in captures only.
        require_value((flags & ~unsigned{CU_EVENT_RECORD_EXTERNAL}) == 0, "unknown flags");
        const api::StreamPlace place = api::stream_of(driver, stream);
        const EventRef event = event_of(driver, handle);
        require(event->context() == place.context->handle(), CUDA_ERROR_INVALID_HANDLE,
                "event and stream belong to two contexts");
        const bool external = (flags & CU_EVENT_RECORD_EXTERNAL) != 0;
        if (driver.captures().take_record(event, handle, place.stream, external)) return;
        event->record(place.order(), place.stream);
    });
}

CUresult elapsed(const char* function, float* milliseconds, CUevent start, CUevent end) {
    return entry(function, [&](Driver& driver) {
        require_value(milliseconds != nullptr, "a null pointer");
        const EventRef first = event_of(driver, start);
        const EventRef second = event_of(driver, end);
        healthy_context_of(driver, *first);
        healthy_context_of(driver, *second);
        driver.captures().forbid_event(*first);
        driver.captures().forbid_event(*second);
        *milliseconds = Event::elapsed(*first, *second);
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuEventCreate(CUevent* handle, unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && (flags & ~kEventFlags) == 0, "an argument");
        require((flags & CU_EVENT_INTERPROCESS) == 0 || (flags & CU_EVENT_DISABLE_TIMING) != 0,
                CUDA_ERROR_INVALID_VALUE, "an interprocess event cannot have timing");
        require((flags & CU_EVENT_INTERPROCESS) == 0, CUDA_ERROR_NOT_SUPPORTED,
                "events are of one process");
        const ContextRef context = driver.current_healthy();
        *handle = driver.events.insert(std::make_shared<Event>(context->handle(), flags));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuEventDestroy(CUevent event) {
    return destroy(__func__, event);
}

CUBAR_EXPORT CUresult CUDAAPI cuEventDestroy_v2(CUevent event) {
    return destroy(__func__, event);
}

CUBAR_EXPORT CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) {
    return record(__func__, event, stream, 0);
}

CUBAR_EXPORT CUresult CUDAAPI cuEventRecordWithFlags(CUevent event, CUstream stream,
                                                     unsigned int flags) {
    return record(__func__, event, stream, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuEventQuery(CUevent handle) {
    return entry(__func__, [&](Driver& driver) {
        const EventRef event = event_of(driver, handle);
        driver.captures().forbid_event(*event);
        const bool done = event->point().done();
        healthy_context_of(driver, *event);
        return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuEventSynchronize(CUevent handle) {
    return entry(__func__, [&](Driver& driver) {
        const EventRef event = event_of(driver, handle);
        driver.captures().forbid_event(*event);
        event->point().wait();
        driver.pools().observe();
        healthy_context_of(driver, *event)->flush_prints();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    return elapsed(__func__, milliseconds, start, end);
}

CUBAR_EXPORT CUresult CUDAAPI cuEventElapsedTime_v2(float* milliseconds, CUevent start,
                                                    CUevent end) {
    return elapsed(__func__, milliseconds, start, end);
}
