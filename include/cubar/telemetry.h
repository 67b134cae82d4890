// SPDX-License-Identifier: Apache-2.0
#pragma once

// What changes about the GPUs while they run, for NVML: some pages between the facts and the
// channels, written by cubard when somebody asks. docs/protocol.md tells how. No session and no
// worker is needed to read them.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cubar/layout.h"

namespace cubar {

/// A figure of a device as the host's NVML gives it. Numbers are never used again. Two figures that
/// NVML answers in one call stand next to each other.
enum class Gauge : std::uint32_t {
    kGpuUtilisation = 0,  ///< per cent
    kMemoryUtilisation = 1,
    kEncoderUtilisation = 2,  ///< per cent
    kEncoderPeriod = 3,       ///< microseconds
    kDecoderUtilisation = 4,
    kDecoderPeriod = 5,
    kTemperature = 6,  ///< degrees Celsius
    kShutdownTemperature = 7,
    kSlowdownTemperature = 8,
    kMemoryMaxTemperature = 9,
    kGpuMaxTemperature = 10,
    kPowerUsage = 11,  ///< milliwatts
    kPowerLimit = 12,
    kDefaultPowerLimit = 13,
    kEnforcedPowerLimit = 14,
    kMinPowerLimit = 15,
    kMaxPowerLimit = 16,
    kEnergy = 17,         ///< millijoules since the driver was loaded
    kGraphicsClock = 18,  ///< MHz
    kSmClock = 19,
    kMemoryClock = 20,
    kVideoClock = 21,
    kMaxGraphicsClock = 22,
    kMaxSmClock = 23,
    kMaxMemoryClock = 24,
    kMaxVideoClock = 25,
    kFanSpeed = 26,  ///< per cent
    kFans = 27,
    kPerformanceState = 28,
    kThrottleReasons = 29,
    kPcieGeneration = 30,
    kPcieWidth = 31,
    kMaxPcieGeneration = 32,
    kMaxPcieWidth = 33,
    kPcieSent = 34,  ///< KB/s; measuring takes NVML longer than an answer may take
    kPcieReceived = 35,
    kPcieReplays = 36,
    kEccMode = 37,
    kPendingEccMode = 38,
    kCorrectedVolatileErrors = 39,
    kCorrectedAggregateErrors = 40,
    kUncorrectedVolatileErrors = 41,
    kUncorrectedAggregateErrors = 42,
    kMigMode = 43,
    kPendingMigMode = 44,
    kPersistenceMode = 45,
    kComputeMode = 46,
    kBrand = 47,
    kArchitecture = 48,
    kCores = 49,
    kPciDeviceId = 50,
    kPciSubsystemId = 51,
};
inline constexpr std::size_t kGauges = 64;  ///< what the layout has room for
inline constexpr std::size_t kDeviceTextBytes = 32;

struct TelemetryDevice {
    std::uint64_t memory_total;  ///< the quota where one is set, as cuDeviceTotalMem
    std::uint64_t memory_free;   ///< of that, as cuMemGetInfo
    std::uint64_t known;         ///< bit n: gauge n has a value
    std::uint64_t gauge[kGauges];
    char serial[kDeviceTextBytes];  ///< empty: unknown; so are the other two
    char vbios[kDeviceTextBytes];
    char part_number[kDeviceTextBytes];
};

/// A session of this VM.
struct TelemetryProcess {
    std::uint32_t pid;  ///< as the guest process told it with its claim
    std::uint32_t reserved;
    std::uint64_t bytes[kMaxDevices];  ///< that it has allocated on each device
};

struct Telemetry {
    std::uint32_t device_count;
    std::uint32_t process_count;
    TelemetryDevice device[kMaxDevices];
    TelemetryProcess process[kMaxChannels];
};
static_assert(sizeof(TelemetryDevice) == 632 && sizeof(TelemetryProcess) == 136);
static_assert(sizeof(Telemetry) == 18824);
static_assert(std::is_trivially_copyable_v<Telemetry>);

inline constexpr std::size_t kTelemetryWords = sizeof(Telemetry) / sizeof(std::uint64_t);

struct TelemetryPages {
    /// Odd while cubard writes the words below. cubard: odd, release fence, words, even (release);
    /// pairs with the guest's acquire load, words, acquire fence, load.
    alignas(kLineBytes) Shared<std::uint64_t> sequence;
    /// Another number than before asks for newer words; then comes cubard's doorbell. Written by
    /// the guest process that holds kTelemetryLock.
    alignas(kLineBytes) Shared<std::uint64_t> asked;
    /// A Telemetry.
    alignas(kLineBytes) Shared<std::uint64_t> word[kTelemetryWords];
};

/// Byte of the lock file (docs/protocol.md) behind those of the channels.
inline constexpr std::size_t kTelemetryLock = kMaxChannels;

/// Values of the host's NVML may be so old; a guest asks for newer ones no sooner.
inline constexpr std::uint32_t kTelemetryAgeMs = 100;

}  // namespace cubar
