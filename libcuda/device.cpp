// SPDX-License-Identifier: Apache-2.0
// Devices: all answers come from the facts that cubard wrote into BAR2.
#include <cstdio>
#include <cstring>

#include "libcuda/attributes.h"
#include "libcuda/entry.h"

namespace cubar::guest {
namespace {

CUresult facts_of(CUdevice device, Process*& process, const DeviceFacts*& facts) {
    CUBAR_TRY(entered(process));
    if (!process->has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    facts = &process->device_facts(device);
    return CUDA_SUCCESS;
}

CUresult facts_of(CUdevice device, const DeviceFacts*& facts) {
    Process* process = nullptr;
    return facts_of(device, process, facts);
}

struct PciAddress {
    unsigned domain;
    unsigned bus;
    unsigned device;
    bool operator==(const PciAddress&) const = default;
};

PciAddress pci_address(const DeviceFacts& facts) {
    const auto attribute = [&](CUdevice_attribute which) {
        return static_cast<unsigned>(facts.attribute[which]);
    };
    return {attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID), attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
            attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)};
}

}  // namespace

CUBAR_API cuInit(unsigned int flags) {
    return flags == 0 ? Process::initialise() : CUDA_ERROR_INVALID_VALUE;
}

// As NVIDIA's driver, this one answers before cuInit too: cudart asks first of all.
CUBAR_API cuDriverGetVersion(int* version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Process* process = Process::get();
    *version = process != nullptr ? process->driver_version() : kDescribedVersion;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetCount(int* count) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = process->device_count();
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGet(CUdevice* device, int ordinal) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!process->has_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetName(char* name, int bytes, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    if (name == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::snprintf(name, static_cast<std::size_t>(bytes), "%.*s",
                  static_cast<int>(sizeof facts->name), facts->name);
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(uuid, facts->uuid, sizeof *uuid);
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
    return cuDeviceGetUuid(uuid, device);
}

CUBAR_API cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = facts->total_bytes;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
    Process* process = nullptr;
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, process, facts));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return device_attribute(*facts, process->device(), attribute, *value);
}

CUBAR_API cuDeviceGetProperties(CUdevprop* properties, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    if (properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto& of = facts->attribute;
    properties->maxThreadsPerBlock = of[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK];
    properties->maxThreadsDim[0] = of[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X];
    properties->maxThreadsDim[1] = of[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y];
    properties->maxThreadsDim[2] = of[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z];
    properties->maxGridSize[0] = of[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X];
    properties->maxGridSize[1] = of[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y];
    properties->maxGridSize[2] = of[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z];
    properties->sharedMemPerBlock = of[CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK];
    properties->totalConstantMemory = of[CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY];
    properties->SIMDWidth = of[CU_DEVICE_ATTRIBUTE_WARP_SIZE];
    properties->memPitch = of[CU_DEVICE_ATTRIBUTE_MAX_PITCH];
    properties->regsPerBlock = of[CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK];
    properties->clockRate = of[CU_DEVICE_ATTRIBUTE_CLOCK_RATE];
    properties->textureAlign = of[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT];
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    if (major == nullptr || minor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *major = facts->attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR];
    *minor = facts->attribute[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR];
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetPCIBusId(char* text, int bytes, CUdevice device) {
    const DeviceFacts* facts = nullptr;
    CUBAR_TRY(facts_of(device, facts));
    constexpr int kTextBytes = 13;  // "0000:00:00.0" and its end
    if (text == nullptr || bytes < kTextBytes) return CUDA_ERROR_INVALID_VALUE;
    const PciAddress address = pci_address(*facts);
    std::snprintf(text, static_cast<std::size_t>(bytes), "%04x:%02x:%02x.0",
                  address.domain & 0xffff, address.bus & 0xff, address.device & 0xff);
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (device == nullptr || text == nullptr) return CUDA_ERROR_INVALID_VALUE;
    PciAddress wanted{};
    unsigned function = 0;
    // [domain]:[bus]:[device].[function], the domain and the function may be left out.
    if (std::sscanf(text, "%x:%x:%x.%x", &wanted.domain, &wanted.bus, &wanted.device, &function) <
        3) {
        wanted.domain = 0;
        if (std::sscanf(text, "%x:%x.%x", &wanted.bus, &wanted.device, &function) < 2) {
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    for (int ordinal = 0; ordinal < process->device_count(); ++ordinal) {
        if (pci_address(process->device_facts(ordinal)) == wanted) {
            *device = ordinal;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

CUBAR_API cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (can == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!process->has_device(device) || !process->has_device(peer)) {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    // Peer mappings are not remoted, so no device reaches another's memory by itself.
    *can = 0;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source,
                                  CUdevice destination) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!process->has_device(source) || !process->has_device(destination) ||
        source == destination) {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    switch (attribute) {
        case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
        case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
        case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
        case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
            *value = 0;
            return CUDA_SUCCESS;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

}  // namespace cubar::guest
