// SPDX-License-Identifier: Apache-2.0
// What an application asks of the library itself: functions by name, private tables, error texts.
#include "libcuda/entry.h"

#include <cstring>

#include "driver/error_names.h"
#include "driver/export_tables.h"
#include "driver/symbols.h"
#include "libcuda/context.h"

using namespace cubar::guest;
namespace driver = cubar::driver;

namespace {

int driver_version() {
    int version = 0;
    cuDriverGetVersion(&version);
    return version;
}

unsigned device_count() {
    const Process* process = Process::get();
    return process != nullptr ? static_cast<unsigned>(process->device_count()) : 0;
}

driver::DeviceIdentity device_identity(unsigned ordinal) {
    const cubar::DeviceFacts& facts = Process::get()->device_facts(static_cast<int>(ordinal));
    driver::DeviceIdentity identity{};
    std::memcpy(&identity.uuid, facts.uuid, sizeof identity.uuid);
    identity.pci_domain = facts.attribute[CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID];
    identity.pci_bus = facts.attribute[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID];
    identity.pci_device = facts.attribute[CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID];
    return identity;
}

CUresult context_id(CUcontext context, std::uint64_t* id) {
    unsigned long long value = 0;
    const CUresult result = cuCtxGetId(context, &value);
    *id = value;
    return result;
}

CUresult stream_id(CUcontext value, CUstream stream_value, std::uint64_t* id) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    caller.context = caller.session->contexts.find(cubar::ContextHandle(bits_of(value)));
    if (caller.context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, stream_value, stream));
    *id = stream->id;
    return CUDA_SUCCESS;
}

CUresult current_context(CUcontext* context) {
    return cuCtxGetCurrent(context);
}

CUresult primary(CUdevice device, CUcontext* context) {
    return primary_context(device, *context);
}

constexpr driver::ExportHooks kHooks{
    .current_context = current_context,
    .primary_context = primary,
    .context_storage = context_storage,
    .context_id = context_id,
    .stream_id = stream_id,
    .driver_version = driver_version,
    .device_count = device_count,
    .device_identity = device_identity,
};

}  // namespace

CUBAR_API cuGetProcAddress(const char* name, void** function, int version, cuuint64_t flags) {
    return driver::get_proc_address(name, function, version, flags);
}

CUBAR_API cuGetProcAddress_v2(const char* name, void** function, int version, cuuint64_t flags,
                              CUdriverProcAddressQueryResult* status) {
    return driver::get_proc_address_v2(name, function, version, flags, status);
}

CUBAR_API cuGetExportTable(const void** table, const CUuuid* id) {
    return driver::get_export_table(table, id, kHooks);
}

CUBAR_API cuGetErrorName(CUresult error, const char** text) {
    return driver::get_error_name(error, text);
}

CUBAR_API cuGetErrorString(CUresult error, const char** text) {
    return driver::get_error_string(error, text);
}
