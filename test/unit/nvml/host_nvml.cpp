// SPDX-License-Identifier: Apache-2.0
// A host's libnvidia-ml.so.1 that knows everything of one GPU, each in a number of its own.
#include <cstdio>

#include "nvml/functions.h"

namespace cubar::nvml {
namespace {

template <typename T>
Return give(T* value, T number) {
    *value = number;
    return Return::kSuccess;
}

template <typename T>
Return give_two(T* one, T* other, T number) {
    *other = number + 1;
    return give(one, number);
}

Return give_text(char* text, unsigned bytes, const char* own) {
    std::snprintf(text, bytes, "%s", own);
    return Return::kSuccess;
}

}  // namespace

#define ONE(name, type, number)           \
    NVML_API name(Device, type* value) {  \
        return give<type>(value, number); \
    }
#define TWO(name, number)                                   \
    NVML_API name(Device, unsigned* one, unsigned* other) { \
        return give_two(one, other, number##u);             \
    }
#define ONE_OF(name, number)                                 \
    NVML_API name(Device, unsigned which, unsigned* value) { \
        return give(value, number + which);                  \
    }

NVML_API nvmlInit_v2() {
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetHandleByUUID(const char*, Device* device) {
    return give(device, reinterpret_cast<Device>(device));
}
NVML_API nvmlDeviceGetUtilizationRates(Device, Utilisation* rates) {
    *rates = {.gpu = 11, .memory = 12};
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetTotalEccErrors(Device, unsigned kind, unsigned counter,
                                     unsigned long long* errors) {
    return give(errors, 170ULL + 10 * kind + counter);
}
NVML_API nvmlDeviceGetPciInfo_v3(Device, PciInfo* info) {
    *info = {.device_id = 190, .subsystem_id = 191};
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetSerial(Device, char* serial, unsigned bytes) {
    return give_text(serial, bytes, "serial 1");
}
NVML_API nvmlDeviceGetVbiosVersion(Device, char* version, unsigned bytes) {
    return give_text(version, bytes, "vbios 2");
}
NVML_API nvmlDeviceGetBoardPartNumber(Device, char* number, unsigned bytes) {
    return give_text(number, bytes, "part 3");
}

TWO(nvmlDeviceGetEncoderUtilization, 21)
TWO(nvmlDeviceGetDecoderUtilization, 23)
TWO(nvmlDeviceGetPowerManagementLimitConstraints, 25)
TWO(nvmlDeviceGetEccMode, 0)
TWO(nvmlDeviceGetMigMode, 0)
ONE_OF(nvmlDeviceGetTemperature, 31)
ONE_OF(nvmlDeviceGetTemperatureThreshold, 40)
ONE_OF(nvmlDeviceGetClockInfo, 50)
ONE_OF(nvmlDeviceGetMaxClockInfo, 60)
ONE(nvmlDeviceGetPowerUsage, unsigned, 123'456)
ONE(nvmlDeviceGetPowerManagementLimit, unsigned, 250'000)
ONE(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, 101)
ONE(nvmlDeviceGetEnforcedPowerLimit, unsigned, 102)
ONE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, 0x1'0000'0067)
ONE(nvmlDeviceGetFanSpeed, unsigned, 104)
ONE(nvmlDeviceGetNumFans, unsigned, 105)
ONE(nvmlDeviceGetPerformanceState, unsigned, 8)
ONE(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, 0x1'0000'006b)
ONE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, 108)
ONE(nvmlDeviceGetCurrPcieLinkWidth, unsigned, 109)
ONE(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, 110)
ONE(nvmlDeviceGetMaxPcieLinkWidth, unsigned, 111)
ONE(nvmlDeviceGetPcieReplayCounter, unsigned, 112)
ONE(nvmlDeviceGetPersistenceMode, unsigned, 113)
ONE(nvmlDeviceGetComputeMode, unsigned, 114)
ONE(nvmlDeviceGetBrand, unsigned, 115)
ONE(nvmlDeviceGetArchitecture, unsigned, 116)
ONE(nvmlDeviceGetNumGpuCores, unsigned, 117)

}  // namespace cubar::nvml
