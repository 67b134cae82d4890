// SPDX-License-Identifier: Apache-2.0
// What the host's NVML says of the card itself. What it does not say is not supported here either.
#include <cstring>

#include "nvml/functions.h"
#include "nvml/library.h"

namespace cubar::nvml {
namespace {

constexpr std::size_t kMaxClocks = 4;
constexpr std::size_t kThresholds = 4;

Return device_of(Device device, TelemetryDevice& here) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    Telemetry all{};
    CUBAR_NVML_TRY(telemetry(Age::kRecent, all));
    if (found.number >= all.device_count) {
        return Return::kGpuIsLost;
    }
    here = all.device[found.number];
    return Return::kSuccess;
}

template <typename T>
Return take(const TelemetryDevice& here, Gauge gauge, T* value) {
    const auto index = static_cast<unsigned>(gauge);
    if ((here.known >> index & 1) == 0) {
        return Return::kNotSupported;
    }
    *value = static_cast<T>(here.gauge[index]);
    return Return::kSuccess;
}

template <typename T>
Return get(Device device, Gauge gauge, T* value) {
    TelemetryDevice here{};
    CUBAR_NVML_TRY(device_of(device, here));
    return value != nullptr ? take(here, gauge, value) : Return::kInvalidArgument;
}

/// Two figures of one call; they stand next to each other.
template <typename T>
Return get_pair(Device device, Gauge first, T* one, T* other) {
    TelemetryDevice here{};
    CUBAR_NVML_TRY(device_of(device, here));
    if (one == nullptr || other == nullptr) {
        return Return::kInvalidArgument;
    }
    CUBAR_NVML_TRY(take(here, first, one));
    return take(here, static_cast<Gauge>(static_cast<unsigned>(first) + 1), other);
}

/// The figure number `which` of a run of `count`.
template <typename T>
Return get_of(Device device, Gauge first, unsigned which, std::size_t count, T* value) {
    if (which >= count) {
        return Return::kInvalidArgument;
    }
    return get(device, static_cast<Gauge>(static_cast<unsigned>(first) + which), value);
}

Return get_text(Device device, const char (TelemetryDevice::*member)[kDeviceTextBytes], char* text,
                unsigned bytes) {
    TelemetryDevice here{};
    CUBAR_NVML_TRY(device_of(device, here));
    const char* own = here.*member;
    return *own == '\0' ? Return::kNotSupported : copy_text(own, text, bytes);
}

}  // namespace

// A function whose answer is one figure.
#define CUBAR_NVML_GAUGE(name, type, gauge)      \
    NVML_API name(Device device, type* value) {  \
        return get(device, Gauge::gauge, value); \
    }

CUBAR_NVML_GAUGE(nvmlDeviceGetBrand, unsigned, kBrand)
CUBAR_NVML_GAUGE(nvmlDeviceGetArchitecture, unsigned, kArchitecture)
CUBAR_NVML_GAUGE(nvmlDeviceGetNumGpuCores, unsigned, kCores)
CUBAR_NVML_GAUGE(nvmlDeviceGetPowerUsage, unsigned, kPowerUsage)
CUBAR_NVML_GAUGE(nvmlDeviceGetPowerManagementLimit, unsigned, kPowerLimit)
CUBAR_NVML_GAUGE(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, kDefaultPowerLimit)
CUBAR_NVML_GAUGE(nvmlDeviceGetEnforcedPowerLimit, unsigned, kEnforcedPowerLimit)
CUBAR_NVML_GAUGE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, kEnergy)
CUBAR_NVML_GAUGE(nvmlDeviceGetFanSpeed, unsigned, kFanSpeed)
CUBAR_NVML_GAUGE(nvmlDeviceGetNumFans, unsigned, kFans)
CUBAR_NVML_GAUGE(nvmlDeviceGetPerformanceState, unsigned, kPerformanceState)
CUBAR_NVML_GAUGE(nvmlDeviceGetPowerState, unsigned, kPerformanceState)
CUBAR_NVML_GAUGE(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, kThrottleReasons)
CUBAR_NVML_GAUGE(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, kThrottleReasons)
CUBAR_NVML_GAUGE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, kPcieGeneration)
CUBAR_NVML_GAUGE(nvmlDeviceGetCurrPcieLinkWidth, unsigned, kPcieWidth)
CUBAR_NVML_GAUGE(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, kMaxPcieGeneration)
CUBAR_NVML_GAUGE(nvmlDeviceGetMaxPcieLinkWidth, unsigned, kMaxPcieWidth)
CUBAR_NVML_GAUGE(nvmlDeviceGetPcieReplayCounter, unsigned, kPcieReplays)
CUBAR_NVML_GAUGE(nvmlDeviceGetPersistenceMode, unsigned, kPersistenceMode)
CUBAR_NVML_GAUGE(nvmlDeviceGetComputeMode, unsigned, kComputeMode)

#undef CUBAR_NVML_GAUGE

NVML_API nvmlDeviceGetSerial(Device device, char* serial, unsigned bytes) {
    return get_text(device, &TelemetryDevice::serial, serial, bytes);
}
NVML_API nvmlDeviceGetVbiosVersion(Device device, char* version, unsigned bytes) {
    return get_text(device, &TelemetryDevice::vbios, version, bytes);
}
NVML_API nvmlDeviceGetBoardPartNumber(Device device, char* number, unsigned bytes) {
    return get_text(device, &TelemetryDevice::part_number, number, bytes);
}

NVML_API nvmlDeviceGetUtilizationRates(Device device, Utilisation* rates) {
    Utilisation here{};
    CUBAR_NVML_TRY(get_pair(device, Gauge::kGpuUtilisation, &here.gpu, &here.memory));
    if (rates == nullptr) {
        return Return::kInvalidArgument;
    }
    *rates = here;
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetEncoderUtilization(Device device, unsigned* percent, unsigned* period) {
    return get_pair(device, Gauge::kEncoderUtilisation, percent, period);
}
NVML_API nvmlDeviceGetDecoderUtilization(Device device, unsigned* percent, unsigned* period) {
    return get_pair(device, Gauge::kDecoderUtilisation, percent, period);
}

NVML_API nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned* degrees) {
    return get_of(device, Gauge::kTemperature, sensor, 1, degrees);
}
NVML_API nvmlDeviceGetTemperatureV(Device device, TemperatureV1* temperature) {
    if (temperature == nullptr) {
        return Return::kInvalidArgument;
    }
    if (temperature->version != version_of<TemperatureV1>(1)) {
        return Return::kArgumentVersionMismatch;
    }
    return get_of(device, Gauge::kTemperature, temperature->sensor, 1, &temperature->temperature);
}
// The other thresholds can be set by users of the host, and are not told.
NVML_API nvmlDeviceGetTemperatureThreshold(Device device, unsigned which, unsigned* degrees) {
    if (which >= kThresholds) {
        return unsupported();
    }
    return get_of(device, Gauge::kShutdownTemperature, which, kThresholds, degrees);
}

NVML_API nvmlDeviceGetPowerManagementLimitConstraints(Device device, unsigned* least,
                                                      unsigned* most) {
    return get_pair(device, Gauge::kMinPowerLimit, least, most);
}

NVML_API nvmlDeviceGetClockInfo(Device device, unsigned which, unsigned* megahertz) {
    return get_of(device, Gauge::kGraphicsClock, which, kMaxClocks, megahertz);
}
NVML_API nvmlDeviceGetMaxClockInfo(Device device, unsigned which, unsigned* megahertz) {
    return get_of(device, Gauge::kMaxGraphicsClock, which, kMaxClocks, megahertz);
}
NVML_API nvmlDeviceGetClock(Device device, unsigned which, unsigned kind, unsigned* megahertz) {
    constexpr unsigned kCurrent = 0;
    return kind == kCurrent ? nvmlDeviceGetClockInfo(device, which, megahertz) : unsupported();
}

NVML_API nvmlDeviceGetPcieThroughput(Device device, unsigned counter, unsigned* kilobytes) {
    return get_of(device, Gauge::kPcieSent, counter, 2, kilobytes);
}

NVML_API nvmlDeviceGetEccMode(Device device, unsigned* current, unsigned* pending) {
    return get_pair(device, Gauge::kEccMode, current, pending);
}
NVML_API nvmlDeviceGetTotalEccErrors(Device device, unsigned kind, unsigned counter,
                                     unsigned long long* errors) {
    constexpr unsigned kKinds = 2;
    constexpr unsigned kCounters = 2;
    if (kind >= kKinds || counter >= kCounters) {
        return Return::kInvalidArgument;
    }
    return get_of(device, Gauge::kCorrectedVolatileErrors, kind * kCounters + counter,
                  kKinds * kCounters, errors);
}
NVML_API nvmlDeviceGetMigMode(Device device, unsigned* current, unsigned* pending) {
    return get_pair(device, Gauge::kMigMode, current, pending);
}

}  // namespace cubar::nvml
