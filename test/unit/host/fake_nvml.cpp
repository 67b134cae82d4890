// SPDX-License-Identifier: Apache-2.0
// A host's libnvidia-ml.so.1 with one device, some of whose functions are missing or refuse. A file
// "hang" beside it has it hang in a call, as a driver in trouble does.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "nvml/functions.h"

namespace cubar::nvml {
namespace {

int device;

Return give(unsigned* value, unsigned number) {
    *value = number;
    return Return::kSuccess;
}

bool file_beside(const char* name) {
    Dl_info info{};
    ::dladdr(&device, &info);
    std::string path = info.dli_fname;
    path.replace(path.rfind('/') + 1, std::string::npos, name);
    return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

NVML_API nvmlInit_v2() {
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetHandleByUUID(const char* uuid, Device* handle) {
    *handle = reinterpret_cast<Device>(&device);
    return std::strcmp(uuid, "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f") == 0 ? Return::kSuccess
                                                                              : Return::kNotFound;
}
NVML_API nvmlDeviceGetTemperature(Device, unsigned sensor, unsigned* degrees) {
    while (file_beside("hang")) {
        ::pause();
    }
    return give(degrees, 61 + sensor);
}
NVML_API nvmlDeviceGetPowerUsage(Device, unsigned* milliwatts) {
    return give(milliwatts, 123'456);
}
NVML_API nvmlDeviceGetFanSpeed(Device, unsigned* percent) {
    *percent = 50;
    return Return::kNotSupported;
}
NVML_API nvmlDeviceGetClockInfo(Device, unsigned which, unsigned* megahertz) {
    return give(megahertz, 1000 + which);
}
NVML_API nvmlDeviceGetUtilizationRates(Device, Utilisation* rates) {
    *rates = {.gpu = 70, .memory = 30};
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetEccMode(Device, unsigned* current, unsigned* pending) {
    *current = 1;
    *pending = 0;
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetTotalEccErrors(Device, unsigned kind, unsigned counter,
                                     unsigned long long* errors) {
    *errors = 10 * kind + counter;
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetMemoryInfo(Device, Memory* memory) {
    *memory = {.total = 1000, .free = 300, .used = 700};
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetSerial(Device, char* serial, unsigned bytes) {
    std::snprintf(serial, bytes, "1234567890");
    return Return::kSuccess;
}

}  // namespace cubar::nvml
