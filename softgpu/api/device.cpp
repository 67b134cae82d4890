// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "softgpu/api/entry.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Architecture;
using device::Device;
using device::Driver;

namespace {

CUresult get_uuid(const char* function, CUuuid* uuid, CUdevice ordinal) {
    return entry(function, [&](Driver& driver) {
        require_value(uuid != nullptr, "a null pointer");
        *uuid = driver.device(ordinal).identity().uuid;
    });
}

void copy_text(char* destination, int size, const std::string& text) {
    require_value(destination != nullptr && size > 0, "no room for the text");
    const std::size_t length = std::min(text.size(), static_cast<std::size_t>(size) - 1);
    std::memcpy(destination, text.data(), length);
    destination[length] = '\0';
}

struct PciAddress {
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned slot = 0;
    unsigned function = 0;
};

/// "0000:01:00.0", "0000:01:00" or "01:00.0", in hexadecimal.
std::optional<PciAddress> parse_bus_id(const char* text) {
    PciAddress address;
    if (std::sscanf(text, "%x:%x:%x.%x", &address.domain, &address.bus, &address.slot,
                    &address.function) >= 3)
        return address;
    address = {};
    if (std::sscanf(text, "%x:%x.%x", &address.bus, &address.slot, &address.function) >= 2)
        return address;
    return std::nullopt;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGet(CUdevice* handle, int ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr, "a null pointer");
        *handle = driver.device(ordinal).ordinal();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetCount(int* count) {
    return entry(__func__, [&](Driver& driver) {
        require_value(count != nullptr, "a null pointer");
        *count = driver.device_count();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetName(char* name, int size, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        driver.device(ordinal);
        copy_text(name, size, Device::kName);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice ordinal) {
    return get_uuid(__func__, uuid, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice ordinal) {
    return get_uuid(__func__, uuid, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceTotalMem_v2(size_t* bytes, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(bytes != nullptr, "a null pointer");
        *bytes = driver.device(ordinal).heap().capacity();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute,
                                                   CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        const auto found = driver.device(ordinal).attribute(attribute);
        require_value(found.has_value(), "no such device attribute");
        *value = *found;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceComputeCapability(int* major, int* minor, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(major != nullptr && minor != nullptr, "a null pointer");
        *major = driver.device(ordinal).architecture().major;
        *minor = driver.device(ordinal).architecture().minor;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetProperties(CUdevprop* properties, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(properties != nullptr, "a null pointer");
        const Device& device = driver.device(ordinal);
        *properties = {};
        properties->maxThreadsPerBlock = Architecture::kThreadsPerBlock;
        for (int axis = 0; axis < 3; ++axis) {
            properties->maxThreadsDim[axis] = Architecture::kMaxBlock[axis];
            properties->maxGridSize[axis] = static_cast<int>(Architecture::kMaxGrid[axis]);
        }
        properties->sharedMemPerBlock = Architecture::kSharedPerBlock;
        properties->totalConstantMemory = Architecture::kConstantMemory;
        properties->SIMDWidth = Architecture::kWarpSize;
        properties->memPitch = static_cast<int>(Architecture::kMaxPitch);
        properties->regsPerBlock = Architecture::kRegistersPerBlock;
        properties->clockRate = *device.attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
        properties->textureAlign = *device.attribute(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetPCIBusId(char* text, int size, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        copy_text(text, size, driver.device(ordinal).pci_bus_id());
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetByPCIBusId(CUdevice* handle, const char* text) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && text != nullptr, "a null pointer");
        const auto wanted = parse_bus_id(text);
        require_value(wanted.has_value(), "not a PCI address");
        for (CUdevice ordinal = 0; ordinal < driver.device_count(); ++ordinal) {
            const auto& identity = driver.device(ordinal).identity();
            if (static_cast<unsigned>(identity.pci_domain) == wanted->domain &&
                static_cast<unsigned>(identity.pci_bus) == wanted->bus &&
                static_cast<unsigned>(identity.pci_device) == wanted->slot &&
                wanted->function == 0) {
                *handle = ordinal;
                return;
            }
        }
        throw api::Error(CUDA_ERROR_INVALID_DEVICE, "no device has this PCI address");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceCanAccessPeer(int* can, CUdevice ordinal, CUdevice peer) {
    return entry(__func__, [&](Driver& driver) {
        require_value(can != nullptr, "a null pointer");
        driver.device(ordinal);
        driver.device(peer);
        *can = 0;  // CUDA says so of a device and itself; between two there is no access
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute,
                                                      CUdevice source, CUdevice destination) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        require_value(attribute >= CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK &&
                          attribute <= CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED,
                      "no such attribute");
        driver.device(source);
        driver.device(destination);
        require(source != destination, CUDA_ERROR_INVALID_DEVICE, "a device and itself");
        *value = 0;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetExecAffinitySupport(int* supported,
                                                             CUexecAffinityType type,
                                                             CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(supported != nullptr && type == CU_EXEC_AFFINITY_TYPE_SM_COUNT,
                      "no such affinity");
        driver.device(ordinal);
        *supported = 0;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(context != nullptr, "a null pointer");
        *context = driver.retain_primary(ordinal);
    });
}

namespace {

using api::kContextFlags;

CUresult release_primary(const char* function, CUdevice ordinal) {
    return entry(function, [&](Driver& driver) { driver.release_primary(ordinal); });
}

CUresult reset_primary(const char* function, CUdevice ordinal) {
    return entry(function, [&](Driver& driver) { driver.reset_primary(ordinal); });
}

CUresult set_primary_flags(const char* function, CUdevice ordinal, unsigned flags) {
    return entry(function, [&](Driver& driver) {
        require_value((flags & ~kContextFlags) == 0, "unknown context flags");
        driver.set_primary_flags(ordinal, flags);
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice ordinal) {
    return release_primary(__func__, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    return release_primary(__func__, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice ordinal) {
    return reset_primary(__func__, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    return reset_primary(__func__, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice ordinal, unsigned int flags) {
    return set_primary_flags(__func__, ordinal, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned int flags) {
    return set_primary_flags(__func__, ordinal, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned int* flags,
                                                         int* active) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags != nullptr && active != nullptr, "a null pointer");
        const auto state = driver.primary_state(ordinal);
        *flags = state.flags;
        *active = state.active ? 1 : 0;
    });
}
