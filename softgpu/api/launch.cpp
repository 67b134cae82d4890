// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/launch.h"

#include <cuda.h>

#include <span>

#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/launch_attributes.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/issue.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Driver;
using device::LaunchRequest;

namespace {

/// What the runtime calls cudaErrorInvalidConfiguration. cuda.h has no name for it, yet cudart 13
/// hands on what the driver returns, and programs see this error for impossible dimensions; those
/// that launch a CUfunction themselves see CUDA_ERROR_INVALID_VALUE, as documented. The runtime
/// launches CUkernels.
constexpr auto kInvalidConfiguration = static_cast<CUresult>(9);

void launch(Driver& driver, CUfunction function, LaunchRequest request, CUstream stream) {
    require(function != nullptr, CUDA_ERROR_INVALID_HANDLE, "a null function");
    if (device::handle_is(device::HandleKind::kKernel, function)) {
        request.bad_dimensions = kInvalidConfiguration;
        request.kernel = reinterpret_cast<CUkernel>(function);
    }
    const api::StreamPlace place = api::stream_of_current(driver, stream);
    device::FunctionRef found = api::function_of(driver, *place.context, function);
    require(found->context() == place.context->handle(), CUDA_ERROR_INVALID_HANDLE,
            "the function belongs to another context");
    const device::Point end = device::issue(
        *place.context, place.stream,
        std::make_shared<device::PreparedLaunch>(place.context, std::move(found), request));
    if (!driver.settings().launch_blocking) return;
    end.wait();
    place.context->require_healthy();
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned int grid_x,
                                             unsigned int grid_y, unsigned int grid_z,
                                             unsigned int block_x, unsigned int block_y,
                                             unsigned int block_z, unsigned int shared,
                                             CUstream stream, void** parameters, void** extra) {
    return entry(__func__, [&](Driver& driver) {
        launch(driver, function,
               {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, parameters, extra},
               stream);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function,
                                               void** parameters, void** extra) {
    return entry(__func__, [&](Driver& driver) {
        require_value(config != nullptr, "a null pointer");
        require_value(config->numAttrs == 0 || config->attrs != nullptr, "a null pointer");
        const std::span attributes(config->attrs, config->numAttrs);
        const api::LaunchForm form = api::read_attributes(attributes);
        launch(driver, function,
               {{config->gridDimX, config->gridDimY, config->gridDimZ},
                {config->blockDimX, config->blockDimY, config->blockDimZ},
                config->sharedMemBytes,
                parameters,
                extra,
                form.cooperative,
                form.cluster,
                attributes},
               config->hStream);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x,
                                                        unsigned int grid_y, unsigned int grid_z,
                                                        unsigned int block_x, unsigned int block_y,
                                                        unsigned int block_z, unsigned int shared,
                                                        CUstream stream, void** parameters) {
    return entry(__func__, [&](Driver& driver) {
        launch(driver, function,
               {{grid_x, grid_y, grid_z},
                {block_x, block_y, block_z},
                shared,
                parameters,
                nullptr,
                true},
               stream);
    });
}
