// SPDX-License-Identifier: Apache-2.0
// The part of NVML's binary interface that is used here: numbers and structures as programs have
// them compiled in. The toolkit's nvml.h is not needed, since not every toolkit brings it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cubar::nvml {

enum class Return : std::uint32_t {
    kSuccess = 0,
    kUninitialized = 1,
    kInvalidArgument = 2,
    kNotSupported = 3,
    kNoPermission = 4,
    kNotFound = 6,
    kInsufficientSize = 7,
    kDriverNotLoaded = 9,
    kTimeout = 10,
    kGpuIsLost = 15,
    kVersionMismatch = 18,
    kMemory = 20,
    kArgumentVersionMismatch = 25,
};

/// An opaque handle.
using Device = struct DeviceHandle*;

struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};

struct MemoryV2 {
    unsigned version;
    unsigned long long total;
    unsigned long long reserved;
    unsigned long long free;
    unsigned long long used;
};

struct Utilisation {
    unsigned gpu;
    unsigned memory;
};

struct PciInfo {
    char legacy_bus_id[16];
    unsigned domain;
    unsigned bus;
    unsigned device;
    unsigned device_id;     ///< device and vendor
    unsigned subsystem_id;  ///< not there in the first version
    char bus_id[32];        ///< nor this
};

struct ProcessV1 {
    unsigned pid;
    unsigned long long bytes;
};

struct Process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance;
    unsigned compute_instance;
};

struct TemperatureV1 {
    unsigned version;
    unsigned sensor;
    int temperature;
};

static_assert(sizeof(Memory) == 24 && sizeof(MemoryV2) == 40 && sizeof(PciInfo) == 68);
static_assert(offsetof(PciInfo, subsystem_id) == 32);
static_assert(sizeof(ProcessV1) == 16 && sizeof(Process) == 24 && sizeof(TemperatureV1) == 12);

/// What a structure that has versions says in its first member.
template <typename T>
constexpr unsigned version_of(unsigned number) {
    return static_cast<unsigned>(sizeof(T)) | number << 24;
}

inline constexpr unsigned kNoInstance = 0xffff'ffff;
inline constexpr unsigned kInitNoGpus = 1;
inline constexpr unsigned kInitNoAttach = 2;
inline constexpr unsigned kInitForce = 4;

}  // namespace cubar::nvml
