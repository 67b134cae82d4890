// SPDX-License-Identifier: Apache-2.0
// cuGetExportTable: the private tables that cudart and cuBLAS ask a driver for.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>

#include "driver/context_storage.h"
#include "driver/integrity.h"

namespace cubar::driver {

// What the tables need to know from the library that hands them out. Every member is set.
// All are called from the application's threads, concurrently, without a lock held.
struct ExportHooks {
    // As cuCtxGetCurrent: success and a null context where none is current.
    CUresult (*current_context)(CUcontext* context);
    // The handle of the device's primary context, made if need be, not retained.
    CUresult (*primary_context)(CUdevice device, CUcontext* context);
    // Storage of a live context (never asked for null); null if there is no such context.
    std::shared_ptr<ContextStorage> (*context_storage)(CUcontext context);
    // As cuCtxGetId of a live context.
    CUresult (*context_id)(CUcontext context, std::uint64_t* id);
    // As cuStreamGetId with `context` current: unique, and stable while the stream lives.
    CUresult (*stream_id)(CUcontext context, CUstream stream, std::uint64_t* id);
    // As cuDriverGetVersion. May be called before cuInit.
    int (*driver_version)();
    // As cuDeviceGetCount, 0 before cuInit.
    unsigned (*device_count)();
    // Identity of the visible device `ordinal` < device_count(): what cuDeviceGetUuid and
    // attributes 50, 33 and 34 answer for it.
    DeviceIdentity (*device_identity)(unsigned ordinal);
};

// The body of cuGetExportTable. `hooks` must live as long as the library and be the same object in
// every call. A UUID that is not known gives CUDA_ERROR_INVALID_VALUE and a null table, and is
// logged. A slot that nobody is known to call returns CUDA_ERROR_NOT_SUPPORTED and logs its
// table and number. Thread-safe; needs no cuInit.
CUresult get_export_table(const void** table, const CUuuid* id, const ExportHooks& hooks) noexcept;

}  // namespace cubar::driver
