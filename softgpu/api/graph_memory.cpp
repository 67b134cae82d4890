// SPDX-License-Identifier: Apache-2.0
// What a device keeps for the memory nodes of graphs.
#include "softgpu/device/graph_memory.h"

#include <cuda.h>

#include "softgpu/api/entry.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Driver;

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGraphMemTrim(CUdevice device) {
    return entry(__func__,
                 [&](Driver& driver) { driver.graph_memory().trim(driver.device(device)); });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetGraphMemAttribute(CUdevice device,
                                                           CUgraphMem_attribute attribute,
                                                           void* value) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        *static_cast<cuuint64_t*>(value) =
            driver.graph_memory().attribute(driver.device(device), attribute);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceSetGraphMemAttribute(CUdevice device,
                                                           CUgraphMem_attribute attribute,
                                                           void* value) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr && *static_cast<const cuuint64_t*>(value) == 0,
                      "a high watermark can only be reset to zero");
        driver.graph_memory().reset_attribute(driver.device(device), attribute);
    });
}
