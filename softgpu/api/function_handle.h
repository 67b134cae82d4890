// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include "softgpu/device/driver.h"

namespace cubar::softgpu::api {

/// What a CUfunction argument means: a function, or a library's kernel, whose function in that
/// context is loaded if need be. Throws CUDA_ERROR_INVALID_HANDLE, or what loading gives.
device::FunctionRef function_of(device::Driver& driver, device::Context& context,
                                CUfunction handle);

/// The function of a library's kernel in a context.
device::FunctionRef function_of(device::Driver& driver, device::Context& context,
                                device::Kernel& kernel);

/// Throws CUDA_ERROR_INVALID_HANDLE.
device::KernelRef kernel_of(device::Driver& driver, CUkernel handle);

/// Offset and size of a parameter; throws CUDA_ERROR_INVALID_VALUE when there is none.
void parameter_info(const device::Function& function, std::size_t index, std::size_t* offset,
                    std::size_t* size);

}  // namespace cubar::softgpu::api
