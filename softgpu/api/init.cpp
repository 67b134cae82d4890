// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "driver/error_names.h"
#include "driver/export_tables.h"
#include "driver/symbols.h"
#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/current.h"

using namespace cubar::softgpu;
using api::entry;
using api::guarded;
using api::require_value;
using device::Driver;

namespace {

constexpr int kDriverVersion = CUDA_VERSION;

// The hooks of the export tables.

CUresult current_context(CUcontext* context) {
    *context = device::this_thread().current();
    return CUDA_SUCCESS;
}

CUresult primary_context(CUdevice ordinal, CUcontext* context) {
    return entry(__func__, [&](Driver& driver) {
        require_value(context != nullptr, "a null pointer");
        *context = driver.primary_handle(ordinal);
    });
}

std::shared_ptr<cubar::driver::ContextStorage> context_storage(CUcontext handle) {
    Driver* driver = Driver::instance();
    const device::ContextRef context = driver != nullptr ? driver->find_context(handle) : nullptr;
    return context != nullptr ? context->storage() : nullptr;
}

CUresult context_id(CUcontext handle, std::uint64_t* id) {
    Driver* driver = Driver::instance();
    const device::ContextRef context = driver != nullptr ? driver->find_context(handle) : nullptr;
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *id = context->id();
    return CUDA_SUCCESS;
}

CUresult stream_id(CUcontext handle, CUstream stream, std::uint64_t* id) {
    return entry(__func__, [&](Driver& driver) {
        device::ThreadState& thread = device::this_thread();
        const CUcontext before = thread.current();
        thread.set_current(handle);
        const CUresult result =
            guarded("stream_id", [&] { *id = api::stream_of(driver, stream).stream->id(); });
        thread.set_current(before);
        return result;
    });
}

int driver_version() {
    return kDriverVersion;
}

unsigned device_count() {
    const Driver* driver = Driver::instance();
    return driver != nullptr ? static_cast<unsigned>(driver->device_count()) : 0;
}

cubar::driver::DeviceIdentity device_identity(unsigned ordinal) {
    return Driver::get().device(static_cast<CUdevice>(ordinal)).identity();
}

constexpr cubar::driver::ExportHooks kHooks{
    current_context, primary_context, context_storage, context_id,
    stream_id,       driver_version,  device_count,    device_identity,
};

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuInit(unsigned int flags) {
    return guarded(__func__, [&] {
        require_value(flags == 0, "cuInit knows no flags");
        return Driver::initialise();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDriverGetVersion(int* version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = kDriverVersion;
    return CUDA_SUCCESS;
}

CUBAR_EXPORT CUresult CUDAAPI cuGetProcAddress(const char* symbol, void** function, int version,
                                               cuuint64_t flags) {
    return cubar::driver::get_proc_address(symbol, function, version, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuGetProcAddress_v2(const char* symbol, void** function, int version,
                                                  cuuint64_t flags,
                                                  CUdriverProcAddressQueryResult* status) {
    return cubar::driver::get_proc_address_v2(symbol, function, version, flags, status);
}

CUBAR_EXPORT CUresult CUDAAPI cuGetExportTable(const void** table, const CUuuid* id) {
    return cubar::driver::get_export_table(table, id, kHooks);
}

CUBAR_EXPORT CUresult CUDAAPI cuGetErrorName(CUresult error, const char** text) {
    return cubar::driver::get_error_name(error, text);
}

CUBAR_EXPORT CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) {
    return cubar::driver::get_error_string(error, text);
}
