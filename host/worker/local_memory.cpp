// SPDX-License-Identifier: Apache-2.0
#include "host/worker/local_memory.h"

#include <atomic>
#include <mutex>

#include "host/worker/charge_keys.h"
#include "host/worker/try.h"

namespace cubar::host {
namespace {

/// What a kernel wants for each thread, as objects remember it: the device that it is for, counted
/// from one, above the bytes. A kernel's code differs from device to device.
std::uint64_t remembered(CUdevice device, std::uint32_t bytes) {
    return (static_cast<std::uint64_t>(device) + 1) << 32 | bytes;
}

CUresult ask_bytes(const Driver& driver, const KernelObject& kernel, CUdevice device, int& bytes) {
    return ask(driver.cuKernelGetAttribute, &bytes, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
               kernel.kernel, device);
}

CUresult ask_bytes(const Driver& driver, const FunctionObject& function, CUdevice, int& bytes) {
    return ask(driver.cuFuncGetAttribute, &bytes, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
               function.function);
}

/// One thread at a time, so that what is charged in the end is the largest.
CUresult grow(Session& session, ContextHandle handle, ContextObject& context, std::uint64_t bytes) {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (bytes <= context.local_bytes.load(std::memory_order_relaxed)) return CUDA_SUCCESS;
    std::uint64_t threads = 0;
    CUBAR_TRY(resident_threads(session.driver(), context.device, threads));
    if (!session.allocations().resize(local_memory_key(handle),
                                      static_cast<std::uint32_t>(context.device), bytes * threads,
                                      handle)) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    context.local_bytes.store(bytes, std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

template <typename Object>
CUresult charge(Session& session, ContextHandle handle, Object& object) {
    ContextObject* context = session.contexts.find(handle);
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    const std::atomic_ref known(object.local_memory);
    std::uint64_t local = known.load(std::memory_order_relaxed);
    if (local >> 32 != remembered(context->device, 0) >> 32) {
        int bytes = 0;
        CUBAR_TRY(ask_bytes(session.driver(), object, context->device, bytes));
        local = remembered(context->device, static_cast<std::uint32_t>(bytes));
        known.store(local, std::memory_order_relaxed);
    }
    const std::uint64_t bytes = local & 0xffff'ffff;
    if (bytes <= context->local_bytes.load(std::memory_order_relaxed)) return CUDA_SUCCESS;
    return grow(session, handle, *context, bytes);
}

}  // namespace

CUresult resident_threads(const Driver& driver, CUdevice device, std::uint64_t& threads) {
    int processors = 0;
    int each = 0;
    CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &processors,
                  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device));
    CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &each,
                  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, device));
    threads = static_cast<std::uint64_t>(processors) * static_cast<std::uint64_t>(each);
    return CUDA_SUCCESS;
}

CUresult charge_local_memory(Session& session, ContextHandle context, KernelObject& kernel) {
    return charge(session, context, kernel);
}

CUresult charge_local_memory(Session& session, ContextHandle context, FunctionObject& function) {
    return charge(session, context, function);
}

}  // namespace cubar::host
