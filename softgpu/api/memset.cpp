// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/fill.h"

using namespace cubar::softgpu;
using api::entry;
using device::Driver;
using device::Fill;

namespace {

CUresult fill(const char* function, const Fill& what, CUstream stream) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        device::run_fill(*place.context, place.stream, what);
    });
}

CUresult fill_async(const char* function, const Fill& what, CUstream stream) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        device::run_fill_async(*place.context, place.stream, what);
    });
}

}  // namespace

// The synchronous ones in their two spellings, with the legacy and with the thread's own default
// stream, are generated; these are what both call.
namespace cubar::softgpu::api {

CUresult body_cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
    return fill("cuMemsetD8_v2", {to, 0, 1, value, count}, stream);
}

CUresult body_cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
    return fill("cuMemsetD16_v2", {to, 0, 2, value, count}, stream);
}

CUresult body_cuMemsetD32_v2(CUdeviceptr to, unsigned int value, size_t count, CUstream stream) {
    return fill("cuMemsetD32_v2", {to, 0, 4, value, count}, stream);
}

CUresult body_cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                              size_t height, CUstream stream) {
    return fill("cuMemsetD2D8_v2", {to, pitch, 1, value, width, height}, stream);
}

CUresult body_cuMemsetD2D16_v2(CUdeviceptr to, size_t pitch, unsigned short value, size_t width,
                               size_t height, CUstream stream) {
    return fill("cuMemsetD2D16_v2", {to, pitch, 2, value, width, height}, stream);
}

CUresult body_cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, unsigned int value, size_t width,
                               size_t height, CUstream stream) {
    return fill("cuMemsetD2D32_v2", {to, pitch, 4, value, width, height}, stream);
}

}  // namespace cubar::softgpu::api

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count,
                                              CUstream stream) {
    return fill_async(__func__, {to, 0, 1, value, count}, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count,
                                               CUstream stream) {
    return fill_async(__func__, {to, 0, 2, value, count}, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t count,
                                               CUstream stream) {
    return fill_async(__func__, {to, 0, 4, value, count}, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value,
                                                size_t width, size_t height, CUstream stream) {
    return fill_async(__func__, {to, pitch, 1, value, width, height}, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short value,
                                                 size_t width, size_t height, CUstream stream) {
    return fill_async(__func__, {to, pitch, 2, value, width, height}, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, unsigned int value,
                                                 size_t width, size_t height, CUstream stream) {
    return fill_async(__func__, {to, pitch, 4, value, width, height}, stream);
}
