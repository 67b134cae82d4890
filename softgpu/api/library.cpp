// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <string>

#include "softgpu/api/code_file.h"
#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/jit_options.h"
#include "softgpu/device/current.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::CodeImage;
using device::ContextRef;
using device::Driver;
using device::Library;
using device::LibraryRef;
using device::Module;

namespace {

LibraryRef library_of(Driver& driver, CUlibrary handle) {
    LibraryRef library = driver.libraries.find(handle);
    require(library != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such library");
    return library;
}

/// The device that a library is for: all devices of the process are alike.
const device::Architecture& architecture(Driver& driver) {
    return driver.device(0).architecture();
}

CodeImage::Lifetime lifetime(unsigned count, const CUlibraryOption* options, void** values) {
    require_value(count == 0 || (options != nullptr && values != nullptr),
                  "options without values");
    auto found = CodeImage::Lifetime::kCall;
    for (unsigned i = 0; i < count; ++i) {
        require_value(options[i] >= 0 && options[i] < CU_LIBRARY_NUM_OPTIONS,
                      "no such library option");
        if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED && values[i] != nullptr)
            found = CodeImage::Lifetime::kPreserved;
    }
    return found;
}

void load(Driver& driver, CUlibrary* handle, const void* image, CodeImage::Lifetime lifetime,
          const api::JitOptions& options) {
    std::string log;
    try {
        CodeImage code(image, lifetime, architecture(driver), log);
        const bool now = code.is_source() || api::eager_loading();
        auto library = std::make_shared<Library>(
            std::move(code), now ? Module::Compile::kNow : Module::Compile::kLazily);
        try {
            if (now) library->kernel_names();
            log += library->take_log();
        } catch (const api::Error&) {
            log += library->take_log();
            throw;
        }
        library->handle = driver.libraries.insert(library);
        *handle = library->handle;
    } catch (const api::Error&) {
        options.report_errors(log);
        throw;
    }
    options.report_errors(log);
    options.report_info({});
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuLibraryLoadData(CUlibrary* handle, const void* image,
                                                CUjit_option* jit_options, void** jit_values,
                                                unsigned int jit_count, CUlibraryOption* options,
                                                void** values, unsigned int count) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && image != nullptr, "a null pointer");
        load(driver, handle, image, lifetime(count, options, values),
             api::JitOptions(jit_count, jit_options, jit_values));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryLoadFromFile(CUlibrary* handle, const char* path,
                                                    CUjit_option* jit_options, void** jit_values,
                                                    unsigned int jit_count,
                                                    CUlibraryOption* options, void** values,
                                                    unsigned int count) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && path != nullptr, "a null pointer");
        lifetime(count, options, values);
        const std::string file = api::read_code_file(path);
        load(driver, handle, file.data(), CodeImage::Lifetime::kCall,
             api::JitOptions(jit_count, jit_options, jit_values));
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryUnload(CUlibrary handle) {
    return entry(__func__, [&](Driver& driver) {
        const LibraryRef library = library_of(driver, handle);
        driver.libraries.remove(handle);
        driver.kernels.remove_if(
            [&](const device::Kernel& kernel) { return kernel.library() == handle; });
        for (const ContextRef& context : driver.contexts.objects()) {
            if (const auto module = context->drop_module_of(*library)) {
                context->streams().wait();
                driver.withdraw(*module);
            }
        }
        // Reset since then, it is retained no more.
        if (library->retains_primary && driver.primary_state(0).active) driver.release_primary(0);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle,
                                                 const char* name) {
    return entry(__func__, [&](Driver& driver) {
        require_value(kernel != nullptr && name != nullptr, "a null pointer");
        const LibraryRef library = library_of(driver, handle);
        require(library->has_kernel(name), CUDA_ERROR_NOT_FOUND, "the library has no such kernel");
        *kernel =
            library->kernel(name, [&](const auto& made) { return driver.kernels.insert(made); })
                ->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetKernelCount(unsigned int* count, CUlibrary handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(count != nullptr, "a null pointer");
        *count = static_cast<unsigned>(library_of(driver, handle)->kernel_names().size());
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int count,
                                                        CUlibrary handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(kernels != nullptr && count != 0, "an argument");
        const LibraryRef library = library_of(driver, handle);
        for (const std::string& name : library->kernel_names()) {
            if (count-- == 0) break;
            *kernels++ =
                library->kernel(name, [&](const auto& made) { return driver.kernels.insert(made); })
                    ->handle;
        }
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetModule(CUmodule* module, CUlibrary handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(module != nullptr, "a null pointer");
        const LibraryRef library = library_of(driver, handle);
        *module = driver.publish(driver.current_healthy()->module_of(library));
    });
}

namespace {

void get_variable(device::Context& context, const LibraryRef& library, CUdeviceptr* address,
                  std::size_t* size, const char* name) {
    const auto* variable = context.module_of(library)->program()->variable(name);
    require(variable != nullptr, CUDA_ERROR_NOT_FOUND, "the library has no such variable");
    if (address != nullptr) *address = variable->address;
    if (size != nullptr) *size = variable->size;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetGlobal(CUdeviceptr* address, size_t* size,
                                                 CUlibrary library, const char* name) {
    return entry(__func__, [&](Driver& driver) {
        require_value(name != nullptr && (address != nullptr || size != nullptr), "an argument");
        get_variable(*driver.current_healthy(), library_of(driver, library), address, size, name);
    });
}

// A __managed__ variable lies, as all do, where host and device see it at one address. The runtime
// asks for it before any context is there: then it is the one of the first device's primary
// context, which the library keeps alive from then on.
CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetManaged(CUdeviceptr* address, size_t* size,
                                                  CUlibrary library, const char* name) {
    return entry(__func__, [&](Driver& driver) {
        require_value(name != nullptr && (address != nullptr || size != nullptr), "an argument");
        const LibraryRef owner = library_of(driver, library);
        const CUcontext current = device::this_thread().current();
        if (current == nullptr && !owner->retains_primary.exchange(true)) driver.retain_primary(0);
        const CUcontext home = current != nullptr ? current : driver.primary_handle(0);
        const ContextRef context = driver.find_context(home);
        require(context != nullptr, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the context has ended");
        get_variable(*context, owner, address, size, name);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLibraryGetUnifiedFunction(void** function, CUlibrary handle,
                                                          const char* symbol) {
    return entry(__func__, [&](Driver& driver) {
        require_value(function != nullptr && symbol != nullptr, "a null pointer");
        library_of(driver, handle);
        throw api::Error(CUDA_ERROR_NOT_FOUND, "there are no unified functions");
    });
}
