// SPDX-License-Identifier: Apache-2.0
// CUDA's structures of node parameters, as works of the device and back.
#pragma once

#include <cuda.h>

#include "softgpu/api/entry.h"
#include "softgpu/device/graphs.h"
#include "softgpu/device/launch.h"

namespace cubar::softgpu::api {

// Each checks what adding such a node would, and throws. `before` is the work that is replaced, or
// null: a kernel's attributes are not among its parameters, and stay. Without Graphs::mutex.
device::WorkRef kernel_work(Driver& driver, const CUDA_KERNEL_NODE_PARAMS* parameters,
                            const device::Work* before);
device::WorkRef copy_work(Driver& driver, const CUDA_MEMCPY3D* parameters, CUcontext context);
device::WorkRef fill_work(Driver& driver, const CUDA_MEMSET_NODE_PARAMS* parameters,
                          CUcontext context);
device::WorkRef host_work(const CUDA_HOST_NODE_PARAMS* parameters);
device::WorkRef child_work(Driver& driver, CUgraph child);
device::WorkRef event_work(Driver& driver, CUgraphNodeType type, CUevent event);
device::WorkRef values_work(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters);
device::WorkRef allocation_work(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS* parameters);
device::WorkRef free_work(Driver& driver, CUdeviceptr address);
device::WorkRef conditional_work(Driver& driver, const CUDA_CONDITIONAL_NODE_PARAMS& parameters);
/// Of any type that this device executes; for others CUDA_ERROR_NOT_SUPPORTED.
device::WorkRef work_of(Driver& driver, const CUgraphNodeParams* parameters,
                        const device::Work* before);

/// The context of a node: null says the current one. Throws.
device::ContextRef node_context(Driver& driver, CUcontext handle);

CUDA_KERNEL_NODE_PARAMS with_kernel(const CUDA_KERNEL_NODE_PARAMS_v1& parameters);

}  // namespace cubar::softgpu::api
