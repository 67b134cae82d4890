// SPDX-License-Identifier: Apache-2.0
// The functions of libnvidia-ml.so.1 that do something, as a caller sees them. The others are named
// in unsupported.inc.
#pragma once

#include "nvml/abi.h"

#define NVML_API extern "C" [[gnu::visibility("default")]] cubar::nvml::Return

// They are C: a name is the same function in every namespace.
namespace cubar::nvml {

NVML_API nvmlInit();
NVML_API nvmlInit_v2();
NVML_API nvmlInitWithFlags(unsigned flags);
NVML_API nvmlShutdown();
extern "C" [[gnu::visibility("default")]] const char* nvmlErrorString(Return result);

NVML_API nvmlSystemGetDriverVersion(char* text, unsigned bytes);
NVML_API nvmlSystemGetNVMLVersion(char* text, unsigned bytes);
NVML_API nvmlSystemGetCudaDriverVersion(int* version);
NVML_API nvmlSystemGetCudaDriverVersion_v2(int* version);
NVML_API nvmlSystemGetProcessName(unsigned pid, char* name, unsigned bytes);

NVML_API nvmlDeviceGetCount(unsigned* count);
NVML_API nvmlDeviceGetCount_v2(unsigned* count);
NVML_API nvmlDeviceGetHandleByIndex(unsigned index, Device* device);
NVML_API nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device);
NVML_API nvmlDeviceGetHandleByUUID(const char* uuid, Device* device);
NVML_API nvmlDeviceGetHandleByPciBusId(const char* address, Device* device);
NVML_API nvmlDeviceGetHandleByPciBusId_v2(const char* address, Device* device);
NVML_API nvmlDeviceGetHandleBySerial(const char* serial, Device* device);

NVML_API nvmlDeviceGetIndex(Device device, unsigned* index);
NVML_API nvmlDeviceGetName(Device device, char* name, unsigned bytes);
NVML_API nvmlDeviceGetUUID(Device device, char* uuid, unsigned bytes);
NVML_API nvmlDeviceGetSerial(Device device, char* serial, unsigned bytes);
NVML_API nvmlDeviceGetVbiosVersion(Device device, char* version, unsigned bytes);
NVML_API nvmlDeviceGetBoardPartNumber(Device device, char* number, unsigned bytes);
NVML_API nvmlDeviceGetPciInfo(Device device, PciInfo* info);
NVML_API nvmlDeviceGetPciInfo_v2(Device device, PciInfo* info);
NVML_API nvmlDeviceGetPciInfo_v3(Device device, PciInfo* info);
NVML_API nvmlDeviceGetBrand(Device device, unsigned* brand);
NVML_API nvmlDeviceGetArchitecture(Device device, unsigned* architecture);
NVML_API nvmlDeviceGetCudaComputeCapability(Device device, int* major, int* minor);
NVML_API nvmlDeviceGetNumGpuCores(Device device, unsigned* cores);
NVML_API nvmlDeviceGetMemoryBusWidth(Device device, unsigned* bits);
NVML_API nvmlDeviceGetMultiGpuBoard(Device device, unsigned* multi);
NVML_API nvmlDeviceIsMigDeviceHandle(Device device, unsigned* is_mig);
NVML_API nvmlDeviceGetDisplayMode(Device device, unsigned* mode);
NVML_API nvmlDeviceGetDisplayActive(Device device, unsigned* active);

NVML_API nvmlDeviceGetMemoryInfo(Device device, Memory* memory);
NVML_API nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2* memory);
NVML_API nvmlDeviceGetComputeRunningProcesses(Device device, unsigned* count, ProcessV1* list);
NVML_API nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned* count, Process* list);
NVML_API nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned* count, Process* list);
NVML_API nvmlDeviceGetGraphicsRunningProcesses(Device device, unsigned* count, ProcessV1* list);
NVML_API nvmlDeviceGetGraphicsRunningProcesses_v2(Device device, unsigned* count, Process* list);
NVML_API nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned* count, Process* list);
NVML_API nvmlDeviceGetMPSComputeRunningProcesses(Device device, unsigned* count, ProcessV1* list);
NVML_API nvmlDeviceGetMPSComputeRunningProcesses_v2(Device device, unsigned* count, Process* list);
NVML_API nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, unsigned* count, Process* list);

NVML_API nvmlDeviceGetUtilizationRates(Device device, Utilisation* rates);
NVML_API nvmlDeviceGetEncoderUtilization(Device device, unsigned* percent, unsigned* period);
NVML_API nvmlDeviceGetDecoderUtilization(Device device, unsigned* percent, unsigned* period);
NVML_API nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned* degrees);
NVML_API nvmlDeviceGetTemperatureV(Device device, TemperatureV1* temperature);
NVML_API nvmlDeviceGetTemperatureThreshold(Device device, unsigned which, unsigned* degrees);
NVML_API nvmlDeviceGetPowerUsage(Device device, unsigned* milliwatts);
NVML_API nvmlDeviceGetPowerManagementLimit(Device device, unsigned* milliwatts);
NVML_API nvmlDeviceGetPowerManagementDefaultLimit(Device device, unsigned* milliwatts);
NVML_API nvmlDeviceGetPowerManagementLimitConstraints(Device device, unsigned* least,
                                                      unsigned* most);
NVML_API nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned* milliwatts);
NVML_API nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long* millijoules);
NVML_API nvmlDeviceGetClockInfo(Device device, unsigned which, unsigned* megahertz);
NVML_API nvmlDeviceGetMaxClockInfo(Device device, unsigned which, unsigned* megahertz);
NVML_API nvmlDeviceGetClock(Device device, unsigned which, unsigned kind, unsigned* megahertz);
NVML_API nvmlDeviceGetFanSpeed(Device device, unsigned* percent);
NVML_API nvmlDeviceGetNumFans(Device device, unsigned* fans);
NVML_API nvmlDeviceGetPerformanceState(Device device, unsigned* state);
NVML_API nvmlDeviceGetPowerState(Device device, unsigned* state);
NVML_API nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long* reasons);
NVML_API nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long* reasons);
NVML_API nvmlDeviceGetCurrPcieLinkGeneration(Device device, unsigned* generation);
NVML_API nvmlDeviceGetCurrPcieLinkWidth(Device device, unsigned* width);
NVML_API nvmlDeviceGetMaxPcieLinkGeneration(Device device, unsigned* generation);
NVML_API nvmlDeviceGetMaxPcieLinkWidth(Device device, unsigned* width);
NVML_API nvmlDeviceGetPcieThroughput(Device device, unsigned counter, unsigned* kilobytes);
NVML_API nvmlDeviceGetPcieReplayCounter(Device device, unsigned* replays);
NVML_API nvmlDeviceGetEccMode(Device device, unsigned* current, unsigned* pending);
NVML_API nvmlDeviceGetTotalEccErrors(Device device, unsigned kind, unsigned counter,
                                     unsigned long long* errors);
NVML_API nvmlDeviceGetMigMode(Device device, unsigned* current, unsigned* pending);
NVML_API nvmlDeviceGetPersistenceMode(Device device, unsigned* mode);
NVML_API nvmlDeviceGetComputeMode(Device device, unsigned* mode);

}  // namespace cubar::nvml
