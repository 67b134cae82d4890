// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "nvml/functions.h"
#include "nvml/smi/card.h"

namespace cubar::smi {
namespace {

using nvml::Device;
using nvml::Return;

constexpr unsigned kTextBytes = 96;
constexpr unsigned kMostProcesses = 64;

/// Of a figure that the host may not have.
std::optional<unsigned> figure(Return (*get)(Device, unsigned*), Device device) {
    unsigned value = 0;
    return get(device, &value) == Return::kSuccess ? std::optional(value) : std::nullopt;
}
std::optional<unsigned> figure(Return (*get)(Device, unsigned, unsigned*), Device device,
                               unsigned which) {
    unsigned value = 0;
    return get(device, which, &value) == Return::kSuccess ? std::optional(value) : std::nullopt;
}

std::optional<bool> mode(Return (*get)(Device, unsigned*, unsigned*), Device device) {
    unsigned current = 0;
    unsigned pending = 0;
    if (get(device, &current, &pending) != Return::kSuccess) {
        return std::nullopt;
    }
    return current != 0;
}

std::optional<std::string> failed(const char* function, Return result) {
    return std::string(function) + ": " + nvml::nvmlErrorString(result);
}

#define CUBAR_SMI_TRY(function, ...)                                                   \
    if (const Return error = nvml::function(__VA_ARGS__); error != Return::kSuccess) { \
        return failed(#function, error);                                               \
    }

std::optional<std::string> gather_processes(Device device, std::vector<Process>& processes) {
    std::array<nvml::Process, kMostProcesses> list{};
    unsigned count = kMostProcesses;
    CUBAR_SMI_TRY(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, list.data());
    for (unsigned i = 0; i < count; ++i) {
        char name[256] = {};
        nvml::nvmlSystemGetProcessName(list[i].pid, name, sizeof name);
        processes.push_back({.pid = list[i].pid, .name = name, .bytes = list[i].bytes});
    }
    return std::nullopt;
}

std::optional<std::string> gather_card(Device device, Card& card) {
    char text[kTextBytes] = {};
    CUBAR_SMI_TRY(nvmlDeviceGetName, device, text, kTextBytes);
    card.name = text;
    CUBAR_SMI_TRY(nvmlDeviceGetUUID, device, text, kTextBytes);
    card.uuid = text;
    nvml::PciInfo pci{};
    CUBAR_SMI_TRY(nvmlDeviceGetPciInfo_v3, device, &pci);
    card.bus_id = pci.bus_id;
    int major = 0;
    int minor = 0;
    CUBAR_SMI_TRY(nvmlDeviceGetCudaComputeCapability, device, &major, &minor);
    card.capability = std::to_string(major) + "." + std::to_string(minor);
    nvml::Memory memory{};
    CUBAR_SMI_TRY(nvmlDeviceGetMemoryInfo, device, &memory);
    card.memory_total = memory.total;
    card.memory_used = memory.used;
    card.memory_free = memory.free;
    if (nvml::nvmlDeviceGetSerial(device, text, kTextBytes) == Return::kSuccess) {
        card.serial = text;
    }
    nvml::Utilisation rates{};
    if (nvml::nvmlDeviceGetUtilizationRates(device, &rates) == Return::kSuccess) {
        card.gpu_utilisation = rates.gpu;
        card.memory_utilisation = rates.memory;
    }
    constexpr unsigned kGpuSensor = 0;
    constexpr unsigned kSm = 1;
    constexpr unsigned kMemory = 2;
    card.temperature = figure(nvml::nvmlDeviceGetTemperature, device, kGpuSensor);
    card.fan = figure(nvml::nvmlDeviceGetFanSpeed, device);
    card.performance_state = figure(nvml::nvmlDeviceGetPerformanceState, device);
    card.power = figure(nvml::nvmlDeviceGetPowerUsage, device);
    card.power_limit = figure(nvml::nvmlDeviceGetEnforcedPowerLimit, device);
    card.sm_clock = figure(nvml::nvmlDeviceGetClockInfo, device, kSm);
    card.memory_clock = figure(nvml::nvmlDeviceGetClockInfo, device, kMemory);
    card.ecc = mode(nvml::nvmlDeviceGetEccMode, device);
    card.mig = mode(nvml::nvmlDeviceGetMigMode, device);
    return gather_processes(device, card.processes);
}

}  // namespace

std::optional<std::string> gather(Machine& machine) {
    char text[kTextBytes] = {};
    if (nvml::nvmlSystemGetDriverVersion(text, kTextBytes) == Return::kSuccess) {
        machine.driver = text;
    }
    int cuda = 0;
    CUBAR_SMI_TRY(nvmlSystemGetCudaDriverVersion_v2, &cuda);
    machine.cuda = std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10);
    unsigned count = 0;
    CUBAR_SMI_TRY(nvmlDeviceGetCount_v2, &count);
    for (unsigned index = 0; index < count; ++index) {
        Device device = nullptr;
        CUBAR_SMI_TRY(nvmlDeviceGetHandleByIndex_v2, index, &device);
        Card& card = machine.cards.emplace_back();
        card.index = index;
        if (auto problem = gather_card(device, card)) {
            return problem;
        }
    }
    return std::nullopt;
}

}  // namespace cubar::smi
