// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/function_handle.h"

#include "softgpu/device/error.h"

namespace cubar::softgpu::api {

using device::HandleKind;
using device::require;
using device::require_value;

device::KernelRef kernel_of(device::Driver& driver, CUkernel handle) {
    device::KernelRef kernel = driver.kernels.find(handle);
    require(kernel != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such kernel");
    return kernel;
}

device::FunctionRef function_of(device::Driver& driver, device::Context& context,
                                device::Kernel& kernel) {
    if (device::FunctionRef known = kernel.cached(context.id())) return known;
    const device::LibraryRef library = driver.libraries.find(kernel.library());
    require(library != nullptr, CUDA_ERROR_INVALID_HANDLE, "the kernel's library is unloaded");
    const auto settings = kernel.settings(context.device().ordinal());
    device::FunctionRef function = context.module_of(library)->function(kernel.name(), settings);
    require(function != nullptr, CUDA_ERROR_NOT_FOUND, "the library has no such kernel");
    kernel.cache(context.id(), function);
    return function;
}

device::FunctionRef function_of(device::Driver& driver, device::Context& context,
                                CUfunction handle) {
    // cuLaunchKernel and its like take a CUkernel in a CUfunction's place.
    const auto as_kernel = reinterpret_cast<CUkernel>(handle);
    if (device::handle_is(HandleKind::kKernel, as_kernel))
        return function_of(driver, context, *kernel_of(driver, as_kernel));
    device::FunctionRef function = driver.functions.find(handle);
    require(function != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such function");
    return function;
}

void parameter_info(const device::Function& function, std::size_t index, std::size_t* offset,
                    std::size_t* size) {
    require_value(offset != nullptr, "a null pointer");
    const auto& parameters = function.info().parameters;
    require_value(index < parameters.size(), "no such parameter");
    *offset = parameters[index].offset;
    if (size != nullptr) *size = parameters[index].size;
}

}  // namespace cubar::softgpu::api
