// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <iterator>

#include "host/worker/session.h"
#include "host/worker/try.h"

namespace cubar::host {

/// A kernel's parameter as it crosses: offset << 16 | size.
constexpr std::uint32_t pack_parameter(std::size_t offset, std::size_t size) {
    return static_cast<std::uint32_t>(offset << 16 | size);
}

/// CUDA says INVALID_VALUE for the first parameter that a kernel does not have. Parameters lie in
/// the first 64 KiB, and visit(index, offset, size) sees them in order. `Info` is
/// cuFuncGetParamInfo or cuKernelGetParamInfo.
template <typename Info, typename Code, typename Visit>
CUresult for_each_parameter(Info* info, Code code, Visit&& visit) {
    constexpr std::size_t kMost = 32764;
    for (std::size_t index = 0; index <= kMost; ++index) {
        std::size_t offset = 0;
        std::size_t size = 0;
        const CUresult result = ask(info, code, index, &offset, &size);
        if (result == CUDA_ERROR_INVALID_VALUE) return CUDA_SUCCESS;
        if (result != CUDA_SUCCESS) return result;
        if (offset > 0xffff || size > 0xffff) return CUDA_ERROR_NOT_SUPPORTED;
        visit(index, offset, size);
    }
    return CUDA_ERROR_NOT_SUPPORTED;
}

/// Fills in the kernel_facts of a reply. `attribute(CUfunction_attribute, int*)` asks the driver.
template <typename Info, typename Code, typename Attribute, typename Reply>
CUresult tell_facts(Info* info, Code code, Attribute&& attribute, bool prints, Reply& reply) {
    CUBAR_TRY(for_each_parameter(
        info, code, [&](std::size_t index, std::size_t offset, std::size_t size) {
            if (index < std::size(reply.parameter)) {
                reply.parameter[index] = pack_parameter(offset, size);
            }
            reply.parameter_count = static_cast<std::uint32_t>(index + 1);
            reply.parameter_bytes = static_cast<std::uint32_t>(offset + size);
        }));
    static_assert(CU_FUNC_ATTRIBUTE_MAX <= std::size(Reply{}.attribute));
    for (int id = 0; id < CU_FUNC_ATTRIBUTE_MAX; ++id) {
        if (attribute(static_cast<CUfunction_attribute>(id), &reply.attribute[id]) ==
            CUDA_SUCCESS) {
            reply.attributes_known |= 1u << id;
        }
    }
    reply.prints = prints ? 1 : 0;
    return CUDA_SUCCESS;
}

template <typename Reply>
CUresult tell_function(Session& session, CUfunction function, bool prints, Reply& reply) {
    const Driver& driver = session.driver();
    // Here, where it may block, and not at the first launch.
    const CUresult loaded = ask(driver.cuFuncLoad, function);
    if (loaded != CUDA_SUCCESS && loaded != CUDA_ERROR_NOT_SUPPORTED) return loaded;
    return tell_facts(
        driver.cuFuncGetParamInfo, function,
        [&](CUfunction_attribute id, int* value) {
            return ask(driver.cuFuncGetAttribute, value, id, function);
        },
        prints, reply);
}

/// `context`: the caller's, whose device the attributes are for; null: device 0's.
template <typename Reply>
CUresult tell_kernel(Session& session, CUkernel kernel, ContextHandle context, bool prints,
                     Reply& reply) {
    const Driver& driver = session.driver();
    CUdevice device = 0;
    if (session.device_of(context, device) != CUDA_SUCCESS) {
        CUBAR_TRY(ask(driver.cuDeviceGet, &device, 0));
    }
    return tell_facts(
        driver.cuKernelGetParamInfo, kernel,
        [&](CUfunction_attribute id, int* value) {
            return ask(driver.cuKernelGetAttribute, value, id, kernel, device);
        },
        prints, reply);
}

/// Remembers how large a kernel's parameter block is, for its launches.
template <typename Object>
void learn_parameter_bytes(Object* object, std::uint32_t bytes) {
    if (object == nullptr) return;
    std::atomic_ref(object->parameter_bytes).store(bytes, std::memory_order_relaxed);
}

}  // namespace cubar::host
