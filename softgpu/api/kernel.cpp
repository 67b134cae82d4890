// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"

using namespace cubar::softgpu;
using api::entry;
using api::function_of;
using api::kernel_of;
using api::require;
using api::require_value;
using device::ContextRef;
using device::Driver;
using device::FunctionRef;
using device::KernelRef;

namespace {

bool is_cache_config(CUfunc_cache config) {
    return config >= CU_FUNC_CACHE_PREFER_NONE && config <= CU_FUNC_CACHE_PREFER_EQUAL;
}

bool is_kernel(CUfunction handle) {
    return device::handle_is(device::HandleKind::kKernel, handle);
}

/// The function of a kernel on a device: that of the current context if it is on that device, else
/// of the device's primary context.
FunctionRef function_on(Driver& driver, device::Kernel& kernel, CUdevice ordinal) {
    driver.device(ordinal);
    ContextRef context = driver.current();
    if (context->device().ordinal() != ordinal)
        context = driver.find_context(driver.primary_handle(ordinal));
    require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "the device has no context");
    return function_of(driver, *context, kernel);
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuKernelGetFunction(CUfunction* function, CUkernel handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(function != nullptr, "a null pointer");
        const KernelRef kernel = kernel_of(driver, handle);
        const ContextRef context = driver.current_healthy();
        const FunctionRef found = function_of(driver, *context, *kernel);
        // Compiled now, so that launches need not.
        found->prepare();
        const device::LibraryRef library = driver.libraries.find(kernel->library());
        require(library != nullptr, CUDA_ERROR_INVALID_HANDLE, "the library is unloaded");
        *function = driver.publish(found, driver.publish(context->module_of(library)));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelGetLibrary(CUlibrary* library, CUkernel handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(library != nullptr, "a null pointer");
        *library = kernel_of(driver, handle)->library();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelGetName(const char** name, CUkernel handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(name != nullptr, "a null pointer");
        *name = kernel_of(driver, handle)->name().c_str();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelGetAttribute(int* value, CUfunction_attribute attribute,
                                                   CUkernel handle, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        const KernelRef kernel = kernel_of(driver, handle);
        *value = function_on(driver, *kernel, ordinal)->attribute(attribute);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelSetAttribute(CUfunction_attribute attribute, int value,
                                                   CUkernel handle, CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        const KernelRef kernel = kernel_of(driver, handle);
        function_on(driver, *kernel, ordinal)->set_attribute(attribute, value);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config,
                                                     CUdevice ordinal) {
    return entry(__func__, [&](Driver& driver) {
        require_value(is_cache_config(config), "no such preference");
        driver.device(ordinal);
        kernel_of(driver, handle)->settings(ordinal)->cache_config = config;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuKernelGetParamInfo(CUkernel handle, size_t index, size_t* offset,
                                                   size_t* size) {
    return entry(__func__, [&](Driver& driver) {
        const KernelRef kernel = kernel_of(driver, handle);
        api::parameter_info(*function_of(driver, *driver.current(), *kernel), index, offset, size);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncGetAttribute(int* value, CUfunction_attribute attribute,
                                                 CUfunction function) {
    return entry(__func__, [&](Driver& driver) {
        require_value(value != nullptr, "a null pointer");
        *value = function_of(driver, *driver.current(), function)->attribute(attribute);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncSetAttribute(CUfunction function,
                                                 CUfunction_attribute attribute, int value) {
    return entry(__func__, [&](Driver& driver) {
        function_of(driver, *driver.current(), function)->set_attribute(attribute, value);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(is_cache_config(config), "no such preference");
        function_of(driver, *driver.current(), function)->settings().cache_config = config;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncSetSharedMemConfig(CUfunction function, CUsharedconfig config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE &&
                          config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE,
                      "no such bank size");
        // Banks have had four bytes on every device since compute capability 5.0.
        function_of(driver, *driver.current(), function);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncGetModule(CUmodule* module, CUfunction function) {
    return entry(__func__, [&](Driver& driver) {
        require_value(module != nullptr, "a null pointer");
        require(!is_kernel(function), CUDA_ERROR_INVALID_HANDLE, "a kernel has no module");
        *module = function_of(driver, *driver.current(), function)->module;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncGetName(const char** name, CUfunction function) {
    return entry(__func__, [&](Driver& driver) {
        require_value(name != nullptr, "a null pointer");
        *name = function_of(driver, *driver.current(), function)->info().name.c_str();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset,
                                                 size_t* size) {
    return entry(__func__, [&](Driver& driver) {
        api::parameter_info(*function_of(driver, *driver.current(), function), index, offset, size);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
    return entry(__func__, [&](Driver& driver) {
        require_value(state != nullptr, "a null pointer");
        *state = function_of(driver, *driver.current(), function)->prepared()
                     ? CU_FUNCTION_LOADING_STATE_LOADED
                     : CU_FUNCTION_LOADING_STATE_UNLOADED;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuFuncLoad(CUfunction function) {
    return entry(__func__, [&](Driver& driver) {
        function_of(driver, *driver.current_healthy(), function)->prepare();
    });
}
