// SPDX-License-Identifier: Apache-2.0
// The C boundary: how every function of the API begins and ends.
#pragma once

#include <cuda.h>

#include <exception>
#include <new>
#include <type_traits>

#include "driver/log.h"
#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"

/// Marks what the library exports; all else is hidden.
#define CUBAR_EXPORT extern "C" __attribute__((visibility("default")))

namespace cubar::softgpu::api {

using device::Driver;
using device::Error;
using device::require;
using device::require_value;

/// The flags of a context that this driver knows.
inline constexpr unsigned kContextFlags =
    CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX | CU_CTX_SYNC_MEMOPS;

/// Runs a body that throws device::Error, returns nothing or a CUresult, and needs no driver.
template <class Body>
CUresult guarded(const char* function, Body body) noexcept {
    try {
        if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
            body();
            return CUDA_SUCCESS;
        } else {
            return body();
        }
    } catch (const Error& error) {
        if (error.code() != CUDA_ERROR_NOT_READY)
            CUBAR_LOG(kInfo, "softgpu: %s: error %d: %s", function, static_cast<int>(error.code()),
                      error.reason());
        return error.code();
    } catch (const std::bad_alloc&) {
        CUBAR_LOG(kError, "softgpu: %s: the host is out of memory", function);
        return CUDA_ERROR_OUT_OF_MEMORY;
    } catch (const std::exception& error) {
        CUBAR_LOG(kError, "softgpu: %s: %s", function, error.what());
        return CUDA_ERROR_UNKNOWN;
    }
}

/// As guarded(), for all that may be called only after cuInit: the body gets the driver.
template <class Body>
CUresult entry(const char* function, Body body) noexcept {
    Driver* driver = Driver::instance();
    CUBAR_LOG(kDebug, "softgpu: %s", function);
    if (driver == nullptr) return CUDA_ERROR_NOT_INITIALIZED;
    return guarded(function, [&] { return body(*driver); });
}

}  // namespace cubar::softgpu::api
