// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/device/capture.h"
#include "softgpu/device/current.h"
#include "softgpu/device/stream_attributes.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Context;
using device::ContextRef;
using device::Driver;
using device::this_thread;

namespace {

using api::kContextFlags;

constexpr unsigned kApiVersion = 3020;  // of contexts that cuCtxCreate_v2 and later make

CUresult create(const char* function, CUcontext* context, unsigned flags, CUdevice ordinal) {
    return entry(function, [&](Driver& driver) {
        require_value(context != nullptr, "a null pointer");
        require_value((flags & ~kContextFlags) == 0, "unknown context flags");
        *context = driver.create_context(ordinal, flags)->handle();
        this_thread().contexts.push_back(*context);
    });
}

CUresult destroy(const char* function, CUcontext handle) {
    return entry(function, [&](Driver& driver) {
        require(handle != nullptr, CUDA_ERROR_INVALID_CONTEXT, "a null context");
        const ContextRef context = driver.find_context(handle);
        require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no such context");
        require(context->kind() == Context::Kind::kCreated, CUDA_ERROR_INVALID_CONTEXT,
                "a primary context is released, not destroyed");
        driver.destroy_context(context);
        device::ThreadState& thread = this_thread();
        if (thread.current() == handle) thread.contexts.pop_back();
    });
}

CUresult push(const char* function, CUcontext handle) {
    return entry(function, [&](Driver& driver) {
        require(driver.is_context(handle), CUDA_ERROR_INVALID_CONTEXT, "no such context");
        this_thread().contexts.push_back(handle);
    });
}

CUresult pop(const char* function, CUcontext* handle) {
    return entry(function, [&](Driver&) {
        device::ThreadState& thread = this_thread();
        require(thread.current() != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no context is current");
        if (handle != nullptr) *handle = thread.current();
        thread.contexts.pop_back();
    });
}

/// The context that an argument names; null is the current one.
ContextRef context_of(Driver& driver, CUcontext handle) {
    if (handle == nullptr) return driver.current();
    ContextRef context = driver.find_context(handle);
    require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no such context");
    return context;
}

CUresult synchronize(const char* function, CUcontext handle) {
    return entry(function, [&](Driver& driver) {
        const ContextRef context = context_of(driver, handle);
        driver.captures().forbid_context(context->handle());
        context->synchronize();
        driver.pools().observe();
    });
}

CUresult get_device(const char* function, CUdevice* ordinal, CUcontext handle) {
    return entry(function, [&](Driver& driver) {
        require_value(ordinal != nullptr, "a null pointer");
        // The runtime asks for the device of a primary context that has ended.
        *ordinal = driver.device_of(handle != nullptr ? handle : this_thread().current());
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuCtxCreate_v2(CUcontext* context, unsigned int flags,
                                             CUdevice ordinal) {
    return create(__func__, context, flags, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxCreate_v3(CUcontext* context, CUexecAffinityParam* affinity,
                                             int affinity_count, unsigned int flags,
                                             CUdevice ordinal) {
    if (affinity != nullptr || affinity_count != 0) {
        return entry(__func__, [](Driver&) {
            throw api::Error(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "execution affinity");
        });
    }
    return create(__func__, context, flags, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxCreate_v4(CUcontext* context, CUctxCreateParams* parameters,
                                             unsigned int flags, CUdevice ordinal) {
    const bool plain = parameters == nullptr ||
                       (parameters->execAffinityParams == nullptr &&
                        parameters->numExecAffinityParams == 0 && parameters->cigParams == nullptr);
    if (!plain) {
        return entry(__func__, [&](Driver&) {
            throw api::Error(parameters->cigParams != nullptr
                                 ? CUDA_ERROR_NOT_SUPPORTED
                                 : CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY,
                             "contexts with affinity or graphics");
        });
    }
    return create(__func__, context, flags, ordinal);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxDestroy(CUcontext context) {
    return destroy(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxDestroy_v2(CUcontext context) {
    return destroy(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxPushCurrent(CUcontext context) {
    return push(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxPushCurrent_v2(CUcontext context) {
    return push(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxPopCurrent(CUcontext* context) {
    return pop(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxPopCurrent_v2(CUcontext* context) {
    return pop(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
    return entry(__func__, [&](Driver& driver) {
        require(context == nullptr || driver.is_context(context), CUDA_ERROR_INVALID_CONTEXT,
                "no such context");
        this_thread().set_current(context);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) {
    return entry(__func__, [&](Driver&) {
        require_value(context != nullptr, "a null pointer");
        *context = this_thread().current();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetDevice(CUdevice* ordinal) {
    return get_device(__func__, ordinal, nullptr);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetDevice_v2(CUdevice* ordinal, CUcontext context) {
    return get_device(__func__, ordinal, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetFlags(unsigned int* flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags != nullptr, "a null pointer");
        *flags = driver.current()->flags;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSetFlags(unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value((flags & ~kContextFlags) == 0, "unknown context flags");
        driver.current()->flags = flags;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetId(CUcontext context, unsigned long long* id) {
    return entry(__func__, [&](Driver& driver) {
        require_value(id != nullptr, "a null pointer");
        *id = context_of(driver, context)->id();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSynchronize(void) {
    return synchronize(__func__, nullptr);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSynchronize_v2(CUcontext context) {
    return synchronize(__func__, context);
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetApiVersion(CUcontext context, unsigned int* version) {
    return entry(__func__, [&](Driver& driver) {
        require_value(version != nullptr, "a null pointer");
        context_of(driver, context);
        *version = kApiVersion;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSetLimit(CUlimit limit, size_t value) {
    return entry(__func__,
                 [&](Driver& driver) { driver.current_healthy()->set_limit(limit, value); });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetLimit(size_t* value, CUlimit limit) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        *value = driver.current()->limit(limit);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetCacheConfig(CUfunc_cache* config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config != nullptr, "a null pointer");
        *config = driver.current()->cache_config;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSetCacheConfig(CUfunc_cache config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config >= CU_FUNC_CACHE_PREFER_NONE && config <= CU_FUNC_CACHE_PREFER_EQUAL,
                      "no such preference");
        driver.current_healthy()->cache_config = config;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetSharedMemConfig(CUsharedconfig* config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config != nullptr, "a null pointer");
        driver.current();
        *config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxSetSharedMemConfig(CUsharedconfig config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE &&
                          config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE,
                      "no such bank size");
        // Banks have had four bytes on every device since compute capability 5.0.
        driver.current_healthy();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return entry(__func__, [&](Driver& driver) {
        driver.current();
        if (least != nullptr) *least = 0;
        if (greatest != nullptr) *greatest = device::kGreatestPriority;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxResetPersistingL2Cache(void) {
    return entry(__func__, [](Driver& driver) {
        driver.current();
        throw api::Error(CUDA_ERROR_NOT_SUPPORTED, "there is no persisting cache");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags) {
    return entry(__func__, [&](Driver& driver) {
        require_value(flags == 0, "no flags are known");
        driver.current_healthy();
        require(driver.find_context(peer) != nullptr, CUDA_ERROR_INVALID_CONTEXT,
                "no such context");
        throw api::Error(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "there is no peer access");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuCtxDisablePeerAccess(CUcontext peer) {
    return entry(__func__, [&](Driver& driver) {
        driver.current_healthy();
        require(driver.find_context(peer) != nullptr, CUDA_ERROR_INVALID_CONTEXT,
                "no such context");
        throw api::Error(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "there is no peer access");
    });
}
