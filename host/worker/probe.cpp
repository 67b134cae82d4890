// SPDX-License-Identifier: Apache-2.0
#include "host/worker/probe.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "cubar/host/dispatch.h"
#include "host/worker/try.h"

namespace cubar::host {
namespace {

std::string failure(const Driver& driver, const char* what, CUresult error) {
    const char* name = nullptr;
    ask(driver.cuGetErrorName, error, &name);
    return std::string(what) + ": " + (name != nullptr ? name : "error " + std::to_string(error));
}

CUresult gather_device(const Driver& driver, int ordinal, DeviceFacts& facts) {
    CUdevice device = 0;
    CUBAR_TRY(ask(driver.cuDeviceGet, &device, ordinal));
    CUBAR_TRY(
        ask(driver.cuDeviceGetName, facts.name, static_cast<int>(sizeof facts.name - 1), device));
    CUuuid uuid{};
    CUBAR_TRY(ask(driver.cuDeviceGetUuid_v2, &uuid, device));
    std::memcpy(facts.uuid, uuid.bytes, sizeof facts.uuid);
    std::size_t bytes = 0;
    CUBAR_TRY(ask(driver.cuDeviceTotalMem_v2, &bytes, device));
    facts.total_bytes = bytes;
    for (std::size_t id = 1; id < kDeviceAttributes; ++id) {
        int value = 0;
        const CUresult result =
            ask(driver.cuDeviceGetAttribute, &value, static_cast<CUdevice_attribute>(id), device);
        facts.attribute[id] = result == CUDA_SUCCESS ? value : 0;
        facts.attribute_known[id] = result == CUDA_SUCCESS ? 1 : 0;
    }
    return CUDA_SUCCESS;
}

constexpr int kMeasurements = 3;

/// What another context takes beside the one that is current.
CUresult measure_another(const Driver& driver, CUdevice device, std::uint64_t& bytes) {
    std::size_t before = 0;
    std::size_t after = 0;
    std::size_t total = 0;
    CUcontext context = nullptr;
    CUBAR_TRY(ask(driver.cuMemGetInfo_v2, &before, &total));
    CUBAR_TRY(ask(driver.cuCtxCreate_v2, &context, 0U, device));
    const CUresult result = ask(driver.cuMemGetInfo_v2, &after, &total);
    ask(driver.cuCtxDestroy_v2, context);
    CUBAR_TRY(result);
    bytes = std::min(bytes, std::uint64_t{before > after ? before - after : 0});
    return CUDA_SUCCESS;
}

}  // namespace

std::uint64_t measure_context(const Driver& driver, int ordinal) {
    CUdevice device = 0;
    CUcontext first = nullptr;
    if (ask(driver.cuDeviceGet, &device, ordinal) != CUDA_SUCCESS ||
        ask(driver.cuDevicePrimaryCtxRetain, &first, device) != CUDA_SUCCESS) {
        return 0;
    }
    std::uint64_t bytes = ~std::uint64_t{0};
    bool good = true;
    for (int i = 0; good && i < kMeasurements; ++i) {
        good = ask(driver.cuCtxSetCurrent, first) == CUDA_SUCCESS &&
               measure_another(driver, device, bytes) == CUDA_SUCCESS;
    }
    ask(driver.cuDevicePrimaryCtxRelease_v2, device);
    return good ? bytes : 0;
}

std::string gather_facts(const Driver& driver, const char* driver_in_words, Facts& facts) {
    facts = {};
    int version = 0;
    if (const CUresult error = driver.cuDriverGetVersion(&version); error != CUDA_SUCCESS) {
        return failure(driver, "cuDriverGetVersion", error);
    }
    facts.driver_version = static_cast<std::uint32_t>(version);
    std::snprintf(facts.host_driver, sizeof facts.host_driver, "%s", driver_in_words);
    describe_opcodes(facts.opcode_set);
    int count = 0;
    if (const CUresult error = ask(driver.cuDeviceGetCount, &count); error != CUDA_SUCCESS) {
        return failure(driver, "cuDeviceGetCount", error);
    }
    facts.device_count =
        static_cast<std::uint32_t>(std::clamp(count, 0, static_cast<int>(kMaxDevices)));
    for (std::uint32_t ordinal = 0; ordinal < facts.device_count; ++ordinal) {
        const CUresult error =
            gather_device(driver, static_cast<int>(ordinal), facts.device[ordinal]);
        if (error != CUDA_SUCCESS) {
            return failure(driver, ("device " + std::to_string(ordinal)).c_str(), error);
        }
    }
    return {};
}

}  // namespace cubar::host
