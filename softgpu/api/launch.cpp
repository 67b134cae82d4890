// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/launch.h"

#include <cuda.h>

#include <span>

#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/stream_handle.h"

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
    if (device::handle_is(device::HandleKind::kKernel, function))
        request.bad_dimensions = kInvalidConfiguration;
    const api::StreamPlace place = api::stream_of_current(driver, stream);
    device::FunctionRef found = api::function_of(driver, *place.context, function);
    require(found->context() == place.context->handle(), CUDA_ERROR_INVALID_HANDLE,
            "the function belongs to another context");
    device::PreparedLaunch prepared(*place.context, std::move(found), request);
    const device::Point end = std::move(prepared).submit(*place.context, place.stream);
    if (!driver.settings().launch_blocking) return;
    end.wait();
    place.context->require_healthy();
}

/// Checks the attributes of a launch. True if it is a cooperative one.
bool read_cooperative(std::span<const CUlaunchAttribute> attributes) {
    bool cooperative = false;
    for (const CUlaunchAttribute& attribute : attributes) {
        const CUlaunchAttributeValue& value = attribute.value;
        switch (attribute.id) {
            case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
                cooperative = value.cooperative != 0;
                break;
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
                require(
                    value.clusterDim.x <= 1 && value.clusterDim.y <= 1 && value.clusterDim.z <= 1,
                    CUDA_ERROR_NOT_SUPPORTED, "clusters of more than one block");
                break;
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
            case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
            case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
                throw api::Error(CUDA_ERROR_NOT_SUPPORTED, "this launch attribute");
            // Permissions to overlap, and hints: a launch that makes no use of them is right.
            case CU_LAUNCH_ATTRIBUTE_IGNORE:
            case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
            case CU_LAUNCH_ATTRIBUTE_PRIORITY:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
            case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
                break;
            default:
                throw api::Error(CUDA_ERROR_INVALID_VALUE, "no such launch attribute");
        }
    }
    return cooperative;
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
        const bool cooperative = read_cooperative(std::span(config->attrs, config->numAttrs));
        launch(driver, function,
               {{config->gridDimX, config->gridDimY, config->gridDimZ},
                {config->blockDimX, config->blockDimY, config->blockDimZ},
                config->sharedMemBytes,
                parameters,
                extra,
                cooperative},
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
