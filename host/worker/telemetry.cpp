// SPDX-License-Identifier: Apache-2.0
#include "host/worker/telemetry.h"

#include <dlfcn.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "host/common/telemetry_protocol.h"
#include "nvml/abi.h"

namespace cubar::host {
namespace {

using nvml::Device;
using nvml::Return;

/// How a function of NVML's answers; the words before are its arguments.
enum class Shape {
    kOne,         ///< unsigned*
    kOneOf,       ///< kind, unsigned*
    kTwo,         ///< unsigned*, unsigned*: this gauge and the next
    kWide,        ///< unsigned long long*
    kWideOfTwo,   ///< kind, kind, unsigned long long*: the two are bits 1 and 0 of `kind`
    kUtilisation  ///< Utilisation*: this gauge and the next
};

struct Row {
    Gauge gauge;
    Shape shape;
    const char* function;
    unsigned kind = 0;
};

constexpr Row kRows[] = {
    {Gauge::kGpuUtilisation, Shape::kUtilisation, "nvmlDeviceGetUtilizationRates"},
    {Gauge::kEncoderUtilisation, Shape::kTwo, "nvmlDeviceGetEncoderUtilization"},
    {Gauge::kDecoderUtilisation, Shape::kTwo, "nvmlDeviceGetDecoderUtilization"},
    {Gauge::kTemperature, Shape::kOneOf, "nvmlDeviceGetTemperature"},
    {Gauge::kShutdownTemperature, Shape::kOneOf, "nvmlDeviceGetTemperatureThreshold", 0},
    {Gauge::kSlowdownTemperature, Shape::kOneOf, "nvmlDeviceGetTemperatureThreshold", 1},
    {Gauge::kMemoryMaxTemperature, Shape::kOneOf, "nvmlDeviceGetTemperatureThreshold", 2},
    {Gauge::kGpuMaxTemperature, Shape::kOneOf, "nvmlDeviceGetTemperatureThreshold", 3},
    {Gauge::kPowerUsage, Shape::kOne, "nvmlDeviceGetPowerUsage"},
    {Gauge::kPowerLimit, Shape::kOne, "nvmlDeviceGetPowerManagementLimit"},
    {Gauge::kDefaultPowerLimit, Shape::kOne, "nvmlDeviceGetPowerManagementDefaultLimit"},
    {Gauge::kEnforcedPowerLimit, Shape::kOne, "nvmlDeviceGetEnforcedPowerLimit"},
    {Gauge::kMinPowerLimit, Shape::kTwo, "nvmlDeviceGetPowerManagementLimitConstraints"},
    {Gauge::kEnergy, Shape::kWide, "nvmlDeviceGetTotalEnergyConsumption"},
    {Gauge::kGraphicsClock, Shape::kOneOf, "nvmlDeviceGetClockInfo", 0},
    {Gauge::kSmClock, Shape::kOneOf, "nvmlDeviceGetClockInfo", 1},
    {Gauge::kMemoryClock, Shape::kOneOf, "nvmlDeviceGetClockInfo", 2},
    {Gauge::kVideoClock, Shape::kOneOf, "nvmlDeviceGetClockInfo", 3},
    {Gauge::kMaxGraphicsClock, Shape::kOneOf, "nvmlDeviceGetMaxClockInfo", 0},
    {Gauge::kMaxSmClock, Shape::kOneOf, "nvmlDeviceGetMaxClockInfo", 1},
    {Gauge::kMaxMemoryClock, Shape::kOneOf, "nvmlDeviceGetMaxClockInfo", 2},
    {Gauge::kMaxVideoClock, Shape::kOneOf, "nvmlDeviceGetMaxClockInfo", 3},
    {Gauge::kFanSpeed, Shape::kOne, "nvmlDeviceGetFanSpeed"},
    {Gauge::kFans, Shape::kOne, "nvmlDeviceGetNumFans"},
    {Gauge::kPerformanceState, Shape::kOne, "nvmlDeviceGetPerformanceState"},
    {Gauge::kThrottleReasons, Shape::kWide, "nvmlDeviceGetCurrentClocksThrottleReasons"},
    {Gauge::kPcieGeneration, Shape::kOne, "nvmlDeviceGetCurrPcieLinkGeneration"},
    {Gauge::kPcieWidth, Shape::kOne, "nvmlDeviceGetCurrPcieLinkWidth"},
    {Gauge::kMaxPcieGeneration, Shape::kOne, "nvmlDeviceGetMaxPcieLinkGeneration"},
    {Gauge::kMaxPcieWidth, Shape::kOne, "nvmlDeviceGetMaxPcieLinkWidth"},
    {Gauge::kPcieReplays, Shape::kOne, "nvmlDeviceGetPcieReplayCounter"},
    {Gauge::kEccMode, Shape::kTwo, "nvmlDeviceGetEccMode"},
    {Gauge::kCorrectedVolatileErrors, Shape::kWideOfTwo, "nvmlDeviceGetTotalEccErrors", 0},
    {Gauge::kCorrectedAggregateErrors, Shape::kWideOfTwo, "nvmlDeviceGetTotalEccErrors", 1},
    {Gauge::kUncorrectedVolatileErrors, Shape::kWideOfTwo, "nvmlDeviceGetTotalEccErrors", 2},
    {Gauge::kUncorrectedAggregateErrors, Shape::kWideOfTwo, "nvmlDeviceGetTotalEccErrors", 3},
    {Gauge::kMigMode, Shape::kTwo, "nvmlDeviceGetMigMode"},
    {Gauge::kPersistenceMode, Shape::kOne, "nvmlDeviceGetPersistenceMode"},
    {Gauge::kComputeMode, Shape::kOne, "nvmlDeviceGetComputeMode"},
    {Gauge::kBrand, Shape::kOne, "nvmlDeviceGetBrand"},
    {Gauge::kArchitecture, Shape::kOne, "nvmlDeviceGetArchitecture"},
    {Gauge::kCores, Shape::kOne, "nvmlDeviceGetNumGpuCores"},
};
// Not among them: PCIe throughput, for which NVML measures 20 ms long in the call.

class Nvml {
public:
    /// What went wrong, or an empty string.
    std::string load() {
        library_ = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) {
            return ::dlerror();
        }
        const auto initialise = function<Return()>("nvmlInit_v2");
        if (initialise == nullptr) {
            return "libnvidia-ml.so.1 has no nvmlInit_v2";
        }
        const Return result = initialise();
        return result == Return::kSuccess ? std::string{}
                                          : "nvmlInit_v2 failed with NVML error " +
                                                std::to_string(static_cast<unsigned>(result));
    }

    template <typename Type>
    Type* function(const char* name) const {
        return reinterpret_cast<Type*>(::dlsym(library_, name));
    }

private:
    void* library_ = nullptr;
};

class Sampler {
public:
    Sampler(const Nvml& nvml, Device device, TelemetryDevice& to)
        : nvml_(nvml), device_(device), to_(to) {}

    void row(const Row& row) {
        unsigned one = 0;
        unsigned two = 0;
        unsigned long long wide = 0;
        nvml::Utilisation rates{};
        switch (row.shape) {
            case Shape::kOne:
                if (ask(row.function, &one)) set(row.gauge, one);
                break;
            case Shape::kOneOf:
                if (ask(row.function, row.kind, &one)) set(row.gauge, one);
                break;
            case Shape::kTwo:
                if (ask(row.function, &one, &two)) set_two(row.gauge, one, two);
                break;
            case Shape::kWide:
                if (ask(row.function, &wide)) set(row.gauge, wide);
                break;
            case Shape::kWideOfTwo:
                if (ask(row.function, row.kind >> 1, row.kind & 1, &wide)) set(row.gauge, wide);
                break;
            case Shape::kUtilisation:
                if (ask(row.function, &rates)) set_two(row.gauge, rates.gpu, rates.memory);
                break;
        }
    }

    void text(const char* name, char (&to)[kDeviceTextBytes]) {
        char own[256] = {};
        if (ask(name, static_cast<char*>(own), static_cast<unsigned>(sizeof own))) {
            std::snprintf(to, sizeof to, "%.*s", static_cast<int>(sizeof to - 1), own);
        }
    }

    void memory() {
        nvml::Memory memory{};
        if (ask("nvmlDeviceGetMemoryInfo", &memory)) {
            to_.memory_total = memory.total;
            to_.memory_free = memory.free;
        }
    }

    void pci() {
        nvml::PciInfo info{};
        if (ask("nvmlDeviceGetPciInfo_v3", &info)) {
            set_two(Gauge::kPciDeviceId, info.device_id, info.subsystem_id);
        }
    }

private:
    template <typename... Arguments>
    bool ask(const char* name, Arguments... arguments) {
        const auto function = nvml_.function<Return(Device, Arguments...)>(name);
        return function != nullptr && function(device_, arguments...) == Return::kSuccess;
    }
    void set(Gauge gauge, std::uint64_t value) {
        const auto index = static_cast<unsigned>(gauge);
        to_.gauge[index] = value;
        to_.known |= std::uint64_t{1} << index;
    }
    void set_two(Gauge first, std::uint64_t one, std::uint64_t two) {
        set(first, one);
        set(static_cast<Gauge>(static_cast<unsigned>(first) + 1), two);
    }

    const Nvml& nvml_;
    Device device_;
    TelemetryDevice& to_;
};

/// CUDA gives a MIG device's UUID without saying that it is one.
Device find(const Nvml& nvml, const std::uint8_t (&uuid)[16]) {
    const auto by_uuid = nvml.function<Return(const char*, Device*)>("nvmlDeviceGetHandleByUUID");
    for (const char* prefix : {"GPU", "MIG"}) {
        std::string text = prefix;
        for (unsigned i = 0; i < sizeof uuid; ++i) {
            char digits[4];
            const bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
            std::snprintf(digits, sizeof digits, "%s%02x", dash ? "-" : "", uuid[i]);
            text += digits;
        }
        Device device = nullptr;
        if (by_uuid != nullptr && by_uuid(text.c_str(), &device) == Return::kSuccess) {
            return device;
        }
    }
    return nullptr;
}

void sample(const Nvml& nvml, const std::uint8_t (&uuid)[16], TelemetryDevice& to) {
    const Device device = find(nvml, uuid);
    if (device == nullptr) {
        return;
    }
    Sampler sampler(nvml, device, to);
    sampler.memory();
    sampler.pci();
    for (const Row& row : kRows) {
        sampler.row(row);
    }
    sampler.text("nvmlDeviceGetSerial", to.serial);
    sampler.text("nvmlDeviceGetVbiosVersion", to.vbios);
    sampler.text("nvmlDeviceGetBoardPartNumber", to.part_number);
}

}  // namespace

std::string answer_telemetry(int socket) {
    Nvml nvml;
    if (std::string problem = nvml.load(); !problem.empty()) {
        return problem;
    }
    const auto answer = std::make_unique<TelemetryAnswer>();
    for (;;) {
        TelemetryQuestion question{};
        const ssize_t received = ::recv(socket, &question, sizeof question, 0);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received != sizeof question) {
            return {};
        }
        *answer = {};
        answer->device_count = std::min<std::uint32_t>(question.device_count, kMaxDevices);
        for (std::uint32_t i = 0; i < answer->device_count; ++i) {
            sample(nvml, question.uuid[i], answer->device[i]);
        }
        if (::send(socket, answer.get(), sizeof *answer, MSG_NOSIGNAL) < 0) {
            return std::string("answering cubard: ") + std::strerror(errno);
        }
    }
}

}  // namespace cubar::host
