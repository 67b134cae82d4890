// SPDX-License-Identifier: Apache-2.0
// Devices: which there are, what they are called and where they are. All of it is constant.
#include <cuda.h>

#include <cstdio>
#include <cstring>

#include "nvml/functions.h"
#include "nvml/library.h"

namespace cubar::nvml {
namespace {

struct PciAddress {
    unsigned domain;
    unsigned bus;
    unsigned device;
    bool operator==(const PciAddress&) const = default;
};

unsigned attribute(const DeviceFacts& facts, CUdevice_attribute which) {
    return static_cast<unsigned>(facts.attribute[which]);
}

PciAddress pci_address(const DeviceFacts& facts) {
    return {attribute(facts, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
            attribute(facts, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
            attribute(facts, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)};
}

struct Uuid {
    char text[48];
};

Uuid uuid_of(const DeviceFacts& facts) {
    Uuid result{};
    const std::uint8_t* b = facts.uuid;
    std::snprintf(result.text, sizeof result.text,
                  "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                  b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                  b[14], b[15]);
    return result;
}

/// The first device that `is_it` says yes to.
template <typename IsIt>
Return look_for(Device* device, IsIt&& is_it) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    if (device == nullptr) {
        return Return::kInvalidArgument;
    }
    for (std::uint32_t number = 0; number < all->device_count; ++number) {
        if (is_it(number, all->device[number])) {
            *device = handle_of(number);
            return Return::kSuccess;
        }
    }
    return Return::kNotFound;
}

/// What the host's NVML says of the PCI device's kind; zeros where it says nothing.
struct PciKind {
    unsigned device_id;
    unsigned subsystem_id;
};

PciKind pci_kind(const Found& found) {
    Telemetry all{};
    PciKind kind{};
    if (telemetry(Age::kRecent, all) == Return::kSuccess && found.number < all.device_count) {
        unsigned* const parts[] = {&kind.device_id, &kind.subsystem_id};
        for (unsigned i = 0; i < 2; ++i) {
            const auto gauge = static_cast<unsigned>(Gauge::kPciDeviceId) + i;
            const TelemetryDevice& device = all.device[found.number];
            *parts[i] =
                (device.known >> gauge & 1) != 0 ? static_cast<unsigned>(device.gauge[gauge]) : 0;
        }
    }
    return kind;
}

/// The first version ends before the subsystem's id.
Return pci_info(Device device, PciInfo* info, bool first_version) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (info == nullptr) {
        return Return::kInvalidArgument;
    }
    const PciAddress at = pci_address(*found.facts);
    const PciKind kind = pci_kind(found);
    PciInfo result{};
    std::snprintf(result.legacy_bus_id, sizeof result.legacy_bus_id, "%04X:%02X:%02X.0",
                  at.domain & 0xffff, at.bus & 0xff, at.device & 0xff);
    result.domain = at.domain;
    result.bus = at.bus;
    result.device = at.device;
    result.device_id = kind.device_id;
    result.subsystem_id = kind.subsystem_id;
    std::snprintf(result.bus_id, sizeof result.bus_id, "%08X:%02X:%02X.0", at.domain, at.bus & 0xff,
                  at.device & 0xff);
    std::memcpy(info, &result, first_version ? offsetof(PciInfo, subsystem_id) : sizeof result);
    return Return::kSuccess;
}

/// Of NVML's disabled features, which need no host to tell.
Return disabled(Device device, unsigned* state) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (state == nullptr) {
        return Return::kInvalidArgument;
    }
    *state = 0;
    return Return::kSuccess;
}

}  // namespace

NVML_API nvmlDeviceGetCount(unsigned* count) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    if (count == nullptr) {
        return Return::kInvalidArgument;
    }
    *count = all->device_count;
    return Return::kSuccess;
}
NVML_API nvmlDeviceGetCount_v2(unsigned* count) {
    return nvmlDeviceGetCount(count);
}

NVML_API nvmlDeviceGetHandleByIndex(unsigned index, Device* device) {
    const Return result =
        look_for(device, [&](std::uint32_t number, const DeviceFacts&) { return number == index; });
    return result == Return::kNotFound ? Return::kInvalidArgument : result;
}
NVML_API nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
    return nvmlDeviceGetHandleByIndex(index, device);
}

NVML_API nvmlDeviceGetHandleByUUID(const char* uuid, Device* device) {
    if (uuid == nullptr) {
        return Return::kInvalidArgument;
    }
    return look_for(device, [&](std::uint32_t, const DeviceFacts& facts) {
        return std::strcmp(uuid, uuid_of(facts).text) == 0;
    });
}

NVML_API nvmlDeviceGetHandleByPciBusId(const char* address, Device* device) {
    if (address == nullptr) {
        return Return::kInvalidArgument;
    }
    PciAddress wanted{};
    // [domain]:[bus]:[device].[function], the domain and the function may be left out.
    if (std::sscanf(address, "%x:%x:%x", &wanted.domain, &wanted.bus, &wanted.device) < 3) {
        wanted.domain = 0;
        if (std::sscanf(address, "%x:%x", &wanted.bus, &wanted.device) < 2) {
            return Return::kInvalidArgument;
        }
    }
    return look_for(device, [&](std::uint32_t, const DeviceFacts& facts) {
        return pci_address(facts) == wanted;
    });
}
NVML_API nvmlDeviceGetHandleByPciBusId_v2(const char* address, Device* device) {
    return nvmlDeviceGetHandleByPciBusId(address, device);
}

NVML_API nvmlDeviceGetHandleBySerial(const char* serial, Device* device) {
    if (serial == nullptr || *serial == '\0') {
        return Return::kInvalidArgument;
    }
    Telemetry all{};
    CUBAR_NVML_TRY(telemetry(Age::kRecent, all));
    return look_for(device, [&](std::uint32_t number, const DeviceFacts&) {
        return number < all.device_count && std::strcmp(serial, all.device[number].serial) == 0;
    });
}

NVML_API nvmlDeviceGetIndex(Device device, unsigned* index) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (index == nullptr) {
        return Return::kInvalidArgument;
    }
    *index = found.number;
    return Return::kSuccess;
}

NVML_API nvmlDeviceGetName(Device device, char* name, unsigned bytes) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    return copy_text({found.facts->name, strnlen(found.facts->name, kNameBytes)}, name, bytes);
}

NVML_API nvmlDeviceGetUUID(Device device, char* uuid, unsigned bytes) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    return copy_text(uuid_of(*found.facts).text, uuid, bytes);
}

NVML_API nvmlDeviceGetPciInfo(Device device, PciInfo* info) {
    return pci_info(device, info, true);
}
NVML_API nvmlDeviceGetPciInfo_v2(Device device, PciInfo* info) {
    return pci_info(device, info, false);
}
NVML_API nvmlDeviceGetPciInfo_v3(Device device, PciInfo* info) {
    return pci_info(device, info, false);
}

NVML_API nvmlDeviceGetCudaComputeCapability(Device device, int* major, int* minor) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (major == nullptr || minor == nullptr) {
        return Return::kInvalidArgument;
    }
    *major = found.facts->attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR];
    *minor = found.facts->attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];
    return Return::kSuccess;
}

NVML_API nvmlDeviceGetMemoryBusWidth(Device device, unsigned* bits) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (bits == nullptr) {
        return Return::kInvalidArgument;
    }
    *bits = attribute(*found.facts, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
    return *bits != 0 ? Return::kSuccess : Return::kNotSupported;
}

NVML_API nvmlDeviceGetMultiGpuBoard(Device device, unsigned* multi) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (multi == nullptr) {
        return Return::kInvalidArgument;
    }
    *multi = attribute(*found.facts, CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD);
    return Return::kSuccess;
}

// A handle is a whole device's, as the guest sees it, also where that is a MIG device of the host.
NVML_API nvmlDeviceIsMigDeviceHandle(Device device, unsigned* is_mig) {
    return disabled(device, is_mig);
}
// No display of the guest is on it.
NVML_API nvmlDeviceGetDisplayMode(Device device, unsigned* mode) {
    return disabled(device, mode);
}
NVML_API nvmlDeviceGetDisplayActive(Device device, unsigned* active) {
    return disabled(device, active);
}

}  // namespace cubar::nvml
