// SPDX-License-Identifier: Apache-2.0
// ollama 0.30 and later: `gpu-discover` opens libcuda.so.1 by name and asks it for each device,
// without a context. A driver that NVML says is older than the floor of the backend's variant drops
// the device.
//   replica-probe FLOOR
#include <cstdlib>
#include <memory>

#include "replica.h"

namespace {

using namespace ollama_replica;

struct Probe : Driver {
    Probe() : Driver("libcuda.so.1") {}

    CUresult (*total)(size_t*, CUdevice) = nullptr;
    CUresult (*bus_id)(char*, int, CUdevice) = nullptr;

    bool usable() {
        return finds_functions() && library.find(total, "cuDeviceTotalMem_v2") &&
               library.find(bus_id, "cuDeviceGetPCIBusId") && starts();
    }

    bool show(int ordinal) const {
        CUdevice device = 0;
        int major = 0;
        int minor = 0;
        int integrated = 0;
        char called[256] = "";
        char bus[32] = "";
        size_t bytes = 0;
        if (!get(ordinal, device, major, minor) ||
            !succeeded(attribute(&integrated, CU_DEVICE_ATTRIBUTE_INTEGRATED, device),
                       "integrated") ||
            !succeeded(name(called, sizeof called, device), "cuDeviceGetName") ||
            !succeeded(total(&bytes, device), "cuDeviceTotalMem_v2") ||
            !succeeded(bus_id(bus, sizeof bus, device), "cuDeviceGetPCIBusId")) {
            return false;
        }
        // It asks for no UUID and no free memory: the bus stands in the UUID's place.
        std::printf("device %d.%d %s 0 %zu %s\n", major, minor, bus, bytes, called);
        return integrated == 0;
    }
};

/// The major number of the driver that NVML names; 0 where there is no NVML.
int driver_by_nvml() {
    const Library library("libnvidia-ml.so.1");
    int (*init)() = nullptr;
    int (*shutdown)() = nullptr;
    int (*version)(char*, unsigned) = nullptr;
    char text[80] = "";
    if (!library.is_open() || !library.find(init, "nvmlInit_v2") ||
        !library.find(shutdown, "nvmlShutdown") ||
        !library.find(version, "nvmlSystemGetDriverVersion") || init() != 0) {
        return 0;
    }
    const bool known = version(text, sizeof text) == 0;
    shutdown();
    if (known) std::printf("nvml %s\n", text);
    return known ? std::atoi(text) : 0;
}

}  // namespace

int main(int count, char** arguments) {
    const auto begin = Clock::now();
    if (count != 2) return 2;
    Probe driver;
    if (!driver.usable()) {
        std::puts("no library");
        return 0;
    }
    std::printf("library %s\n", file_of(driver.init).c_str());
    const int version = driver_by_nvml();
    if (version != 0 && version < std::atoi(arguments[1])) {
        std::printf("driver %d is below %s\n", version, arguments[1]);
        return 0;
    }
    for (int ordinal = 0; ordinal < driver.count; ++ordinal) {
        if (!driver.show(ordinal)) return 1;
    }
    std::printf("seconds %.3f\n", seconds_since(begin));
    return 0;
}
