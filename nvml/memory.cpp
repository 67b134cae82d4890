// SPDX-License-Identifier: Apache-2.0
// Memory as the quota sees it, and which processes of this VM hold it.
#include "nvml/functions.h"
#include "nvml/library.h"

namespace cubar::nvml {
namespace {

/// The device's part of new telemetry.
Return memory_of(Device device, Telemetry& all, Found& found) {
    CUBAR_NVML_TRY(find(device, found));
    CUBAR_NVML_TRY(telemetry(Age::kNew, all));
    return found.number < all.device_count ? Return::kSuccess : Return::kGpuIsLost;
}

void fill(ProcessV1& to, const TelemetryProcess& process, std::uint32_t device) {
    to = {.pid = process.pid, .bytes = process.bytes[device]};
}
void fill(Process& to, const TelemetryProcess& process, std::uint32_t device) {
    to = {.pid = process.pid,
          .bytes = process.bytes[device],
          .gpu_instance = kNoInstance,
          .compute_instance = kNoInstance};
}

/// Sessions that have memory on the device: as with NVIDIA's, a process without a context is none
/// of its.
template <typename Info>
Return compute_processes(Device device, unsigned* count, Info* list) {
    Telemetry all{};
    Found found{};
    CUBAR_NVML_TRY(memory_of(device, all, found));
    if (count == nullptr || (*count != 0 && list == nullptr)) {
        return Return::kInvalidArgument;
    }
    unsigned there = 0;
    for (std::uint32_t i = 0; i < all.process_count; ++i) {
        if (all.process[i].bytes[found.number] != 0) {
            if (there < *count) {
                fill(list[there], all.process[i], found.number);
            }
            ++there;
        }
    }
    const bool all_fit = there <= *count;
    *count = there;
    return all_fit ? Return::kSuccess : Return::kInsufficientSize;
}

/// Of a kind that no process of a guest is of: nothing here draws, and MPS is the host's.
Return no_processes(Device device, unsigned* count) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (count == nullptr) {
        return Return::kInvalidArgument;
    }
    *count = 0;
    return Return::kSuccess;
}

}  // namespace

NVML_API nvmlDeviceGetMemoryInfo(Device device, Memory* memory) {
    Telemetry all{};
    Found found{};
    CUBAR_NVML_TRY(memory_of(device, all, found));
    if (memory == nullptr) {
        return Return::kInvalidArgument;
    }
    const TelemetryDevice& here = all.device[found.number];
    *memory = {.total = here.memory_total,
               .free = here.memory_free,
               .used = here.memory_total - here.memory_free};
    return Return::kSuccess;
}

NVML_API nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2* memory) {
    Found found{};
    CUBAR_NVML_TRY(find(device, found));
    if (memory == nullptr) {
        return Return::kInvalidArgument;
    }
    if (memory->version != version_of<MemoryV2>(2)) {
        return Return::kArgumentVersionMismatch;
    }
    Memory plain{};
    CUBAR_NVML_TRY(nvmlDeviceGetMemoryInfo(device, &plain));
    // CUDA's total, which is the quota's or the card's, has nothing reserved in it.
    memory->total = plain.total;
    memory->reserved = 0;
    memory->free = plain.free;
    memory->used = plain.used;
    return Return::kSuccess;
}

NVML_API nvmlDeviceGetComputeRunningProcesses(Device device, unsigned* count, ProcessV1* list) {
    return compute_processes(device, count, list);
}
NVML_API nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned* count, Process* list) {
    return compute_processes(device, count, list);
}
NVML_API nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned* count, Process* list) {
    return compute_processes(device, count, list);
}
NVML_API nvmlDeviceGetGraphicsRunningProcesses(Device device, unsigned* count, ProcessV1*) {
    return no_processes(device, count);
}
NVML_API nvmlDeviceGetGraphicsRunningProcesses_v2(Device device, unsigned* count, Process*) {
    return no_processes(device, count);
}
NVML_API nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned* count, Process*) {
    return no_processes(device, count);
}
NVML_API nvmlDeviceGetMPSComputeRunningProcesses(Device device, unsigned* count, ProcessV1*) {
    return no_processes(device, count);
}
NVML_API nvmlDeviceGetMPSComputeRunningProcesses_v2(Device device, unsigned* count, Process*) {
    return no_processes(device, count);
}
NVML_API nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, unsigned* count, Process*) {
    return no_processes(device, count);
}

}  // namespace cubar::nvml
