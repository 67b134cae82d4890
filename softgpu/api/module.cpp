// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <cstdlib>
#include <string>

#include "softgpu/api/code_file.h"
#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/jit_options.h"
#include "softgpu/device/code_image.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::CodeImage;
using device::ContextRef;
using device::Driver;
using device::Module;

namespace {

using ModuleRef = std::shared_ptr<Module>;

ModuleRef module_of(Driver& driver, CUmodule handle) {
    ModuleRef module = driver.modules.find(handle);
    require(module != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such module");
    return module;
}

void load(Driver& driver, CUmodule* handle, const void* image, const api::JitOptions& options) {
    require_value(handle != nullptr && image != nullptr, "a null pointer");
    const ContextRef context = driver.current_healthy();
    std::string log;
    try {
        const CodeImage code(image, CodeImage::Lifetime::kPreserved,
                             context->device().architecture(), log);
        const auto compile = code.is_source() || api::eager_loading() ? Module::Compile::kNow
                                                                      : Module::Compile::kLazily;
        *handle = driver.publish(Module::load(*context, code.parse(log), compile, log));
    } catch (const api::Error&) {
        options.report_errors(log);
        throw;
    }
    options.report_errors(log);
    options.report_info({});
}

CUresult load(const char* function, CUmodule* handle, const void* image) {
    return entry(function, [&](Driver& driver) {
        load(driver, handle, image, api::JitOptions(0, nullptr, nullptr));
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuModuleLoad(CUmodule* module, const char* path) {
    return entry(__func__, [&](Driver& driver) {
        require_value(module != nullptr && path != nullptr, "a null pointer");
        const std::string file = api::read_code_file(path);
        load(driver, module, file.data(), api::JitOptions(0, nullptr, nullptr));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
    return load(__func__, module, image);
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleLoadFatBinary(CUmodule* module, const void* fatbin) {
    return load(__func__, module, fatbin);
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleLoadDataEx(CUmodule* module, const void* image,
                                                 unsigned int count, CUjit_option* options,
                                                 void** values) {
    return entry(__func__, [&](Driver& driver) {
        load(driver, module, image, api::JitOptions(count, options, values));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleUnload(CUmodule handle) {
    return entry(__func__, [&](Driver& driver) {
        const ContextRef current = driver.current_healthy();
        const ModuleRef module = module_of(driver, handle);
        const ContextRef context = driver.find_context(module->context());
        require_value(context == nullptr || !context->owns_library_module(*module),
                      "a library's module is unloaded with its library");
        driver.settle(module->context());
        driver.withdraw(*module);
        current->flush_prints();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
    return entry(__func__, [&](Driver&) {
        require_value(mode != nullptr, "a null pointer");
        *mode = api::eager_loading() ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule handle,
                                                  const char* name) {
    return entry(__func__, [&](Driver& driver) {
        require_value(function != nullptr && name != nullptr && *name != '\0', "an argument");
        const ModuleRef module = module_of(driver, handle);
        const device::FunctionRef found = module->function(name);
        require(found != nullptr, CUDA_ERROR_NOT_FOUND, "the module has no such kernel");
        *function = driver.publish(found, handle);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleGetFunctionCount(unsigned int* count, CUmodule handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(count != nullptr, "a null pointer");
        *count = static_cast<unsigned>(module_of(driver, handle)->function_count());
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleEnumerateFunctions(CUfunction* functions, unsigned int count,
                                                         CUmodule handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(functions != nullptr && count != 0, "an argument");
        for (const device::FunctionRef& each : module_of(driver, handle)->functions(count))
            *functions++ = driver.publish(each, handle);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* size,
                                                   CUmodule handle, const char* name) {
    return entry(__func__, [&](Driver& driver) {
        require_value(name != nullptr && (address != nullptr || size != nullptr), "an argument");
        const auto* variable = module_of(driver, handle)->program()->variable(name);
        require(variable != nullptr, CUDA_ERROR_NOT_FOUND, "the module has no such variable");
        if (address != nullptr) *address = variable->address;
        if (size != nullptr) *size = variable->size;
    });
}
