// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/api/graph_parameters.h"

#include <algorithm>
#include <span>

#include "softgpu/api/copy_descriptor.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/graph_handle.h"
#include "softgpu/api/memory_location.h"
#include "softgpu/api/value_operation.h"
#include "softgpu/device/copy.h"
#include "softgpu/device/fill.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/memory_value.h"

namespace cubar::softgpu::api {
namespace {

using device::ContextRef;
using device::WorkRef;

const device::PreparedLaunch* launch_of(const device::Work* work) {
    const bool is_one = work != nullptr && work->type() == CU_GRAPH_NODE_TYPE_KERNEL;
    return is_one ? static_cast<const device::PreparedLaunch*>(work) : nullptr;
}

WorkRef move_child(Driver& driver, CUgraph handle) {
    std::lock_guard lock(driver.graphs().mutex);
    device::GraphRef graph = graph_of(driver.graphs(), handle);
    require_value(graph->owner == device::Graph::Owner::kCaller && !graph->capturing,
                  "the graph is not the caller's to give");
    return std::make_shared<device::ChildWork>(std::move(graph));
}

}  // namespace

ContextRef node_context(Driver& driver, CUcontext handle) {
    if (handle == nullptr) return driver.current_healthy();
    ContextRef context = driver.find_context(handle);
    require_value(context != nullptr, "no such context");
    context->require_healthy();
    return context;
}

CUDA_KERNEL_NODE_PARAMS with_kernel(const CUDA_KERNEL_NODE_PARAMS_v1& parameters) {
    return {parameters.func,
            parameters.gridDimX,
            parameters.gridDimY,
            parameters.gridDimZ,
            parameters.blockDimX,
            parameters.blockDimY,
            parameters.blockDimZ,
            parameters.sharedMemBytes,
            parameters.kernelParams,
            parameters.extra,
            nullptr,
            nullptr};
}

WorkRef kernel_work(Driver& driver, const CUDA_KERNEL_NODE_PARAMS* parameters,
                    const device::Work* before) {
    require_value(parameters != nullptr, "a null pointer");
    CUfunction handle = parameters->func;
    // Where a function is expected, a kernel does as well; its own field has a context beside it.
    if (handle == nullptr) handle = reinterpret_cast<CUfunction>(parameters->kern);
    require_value(handle != nullptr, "no kernel");
    const ContextRef named =
        node_context(driver, parameters->func == nullptr ? parameters->ctx : nullptr);
    device::FunctionRef function = function_of(driver, *named, handle);
    // A function is at home in one context, whichever is current.
    const ContextRef context = node_context(driver, function->context());
    device::LaunchRequest request{
        {parameters->gridDimX, parameters->gridDimY, parameters->gridDimZ},
        {parameters->blockDimX, parameters->blockDimY, parameters->blockDimZ},
        parameters->sharedMemBytes,
        parameters->kernelParams,
        parameters->extra};
    if (const device::PreparedLaunch* old = launch_of(before)) {
        request.cooperative = old->config().cooperative;
        if (old->config().explicit_cluster) request.cluster = old->config().cluster;
        request.attributes = old->attributes();
    }
    if (device::handle_is(device::HandleKind::kKernel, handle))
        request.kernel = reinterpret_cast<CUkernel>(handle);
    return std::make_shared<device::PreparedLaunch>(context, std::move(function), request);
}

WorkRef copy_work(Driver& driver, const CUDA_MEMCPY3D* parameters, CUcontext context) {
    require_value(parameters != nullptr, "a null pointer");
    node_context(driver, context);
    return std::make_shared<device::CopyWork>(copy_of(driver, *parameters), *parameters);
}

WorkRef fill_work(Driver& driver, const CUDA_MEMSET_NODE_PARAMS* parameters, CUcontext context) {
    require_value(parameters != nullptr, "a null pointer");
    node_context(driver, context);
    const unsigned element = parameters->elementSize;
    require_value(element == 1 || element == 2 || element == 4, "the element's size");
    const device::Fill fill{parameters->dst,   parameters->pitch, element,
                            parameters->value, parameters->width, parameters->height};
    fill.check(driver.memory());
    return std::make_shared<device::FillWork>(fill);
}

WorkRef host_work(const CUDA_HOST_NODE_PARAMS* parameters) {
    require_value(parameters != nullptr && parameters->fn != nullptr, "a null pointer");
    return std::make_shared<device::HostWork>(parameters->fn, parameters->userData);
}

WorkRef child_work(Driver& driver, CUgraph child) {
    std::lock_guard lock(driver.graphs().mutex);
    const device::GraphRef graph = graph_of(driver.graphs(), child);
    require_value(graph->owner != device::Graph::Owner::kMoved && !graph->capturing,
                  "the graph belongs to a node, or is being captured");
    require_value(!device::owns_memory(*graph), "a graph that owns memory can only be moved");
    require_value(!device::has_conditional_nodes(*graph),
                  "a graph with conditional nodes cannot be a child");
    return std::make_shared<device::ChildWork>(graph->clone(device::Graph::Owner::kNode));
}

WorkRef event_work(Driver& driver, CUgraphNodeType type, CUevent handle) {
    device::EventRef event = driver.events.find(handle);
    require_value(event != nullptr, "no such event");
    return std::make_shared<device::EventWork>(type, std::move(event), handle);
}

WorkRef values_work(Driver& driver, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
    require_value(parameters != nullptr && parameters->flags == 0, "an argument");
    node_context(driver, parameters->ctx);
    return std::make_shared<device::ValuesWork>(
        driver.memory(), value_operations(parameters->paramArray, parameters->count));
}

WorkRef allocation_work(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS* parameters) {
    require_value(parameters != nullptr && parameters->bytesize != 0, "nothing to allocate");
    const CUmemPoolProps& properties = parameters->poolProps;
    require_plain(properties.allocType, properties.handleTypes);
    device::Device& device = device_at(driver, properties.location);
    require_value(parameters->accessDescCount == 0 || parameters->accessDescs != nullptr,
                  "a null pointer");
    std::vector<CUmemAccessDesc> access;
    for (std::size_t i = 0; i < parameters->accessDescCount; ++i) {
        access.push_back(parameters->accessDescs[i]);
        require(&device_at(driver, access.back().location) == &device, CUDA_ERROR_INVALID_DEVICE,
                "one device reaches no other's memory");
        require_value(access.back().flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
                      "a device always reaches its own memory");
    }
    return std::make_shared<device::AllocationWork>(
        driver.graph_memory().reserve(device, parameters->bytesize), properties, std::move(access));
}

WorkRef free_work(Driver& driver, CUdeviceptr address) {
    device::GraphBlockRef block = driver.graph_memory().find(address);
    require_value(block != nullptr, "not allocated by a node of a graph");
    return std::make_shared<device::FreeWork>(std::move(block));
}

WorkRef work_of(Driver& driver, const CUgraphNodeParams* parameters, const device::Work* before) {
    require_value(parameters != nullptr, "a null pointer");
    require_value(std::all_of(std::begin(parameters->reserved0), std::end(parameters->reserved0),
                              [](int word) { return word == 0; }) &&
                      parameters->reserved2 == 0,
                  "reserved words that are not 0");
    switch (parameters->type) {
        case CU_GRAPH_NODE_TYPE_KERNEL: {
            const CUDA_KERNEL_NODE_PARAMS_v3& kernel = parameters->kernel;
            const CUDA_KERNEL_NODE_PARAMS same{
                kernel.func,         kernel.gridDimX,  kernel.gridDimY,  kernel.gridDimZ,
                kernel.blockDimX,    kernel.blockDimY, kernel.blockDimZ, kernel.sharedMemBytes,
                kernel.kernelParams, kernel.extra,     kernel.kern,      kernel.ctx};
            return kernel_work(driver, &same, before);
        }
        case CU_GRAPH_NODE_TYPE_MEMCPY:
            require_value(parameters->memcpy.flags == 0 && parameters->memcpy.reserved == 0,
                          "flags of a copy");
            return copy_work(driver, &parameters->memcpy.copyParams, parameters->memcpy.copyCtx);
        case CU_GRAPH_NODE_TYPE_MEMSET: {
            const CUDA_MEMSET_NODE_PARAMS_v2& fill = parameters->memset;
            const CUDA_MEMSET_NODE_PARAMS same{fill.dst,         fill.pitch, fill.value,
                                               fill.elementSize, fill.width, fill.height};
            return fill_work(driver, &same, fill.ctx);
        }
        case CU_GRAPH_NODE_TYPE_HOST: {
            const CUDA_HOST_NODE_PARAMS same{parameters->host.fn, parameters->host.userData};
            return host_work(&same);
        }
        case CU_GRAPH_NODE_TYPE_GRAPH:
            return parameters->graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE
                       ? move_child(driver, parameters->graph.graph)
                       : child_work(driver, parameters->graph.graph);
        case CU_GRAPH_NODE_TYPE_EMPTY:
            return std::make_shared<device::EmptyWork>();
        case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
            return event_work(driver, parameters->type, parameters->eventWait.event);
        case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
            return event_work(driver, parameters->type, parameters->eventRecord.event);
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP: {
            const CUDA_BATCH_MEM_OP_NODE_PARAMS_v2& values = parameters->memOp;
            const CUDA_BATCH_MEM_OP_NODE_PARAMS same{values.ctx, values.count, values.paramArray,
                                                     values.flags};
            return values_work(driver, &same);
        }
        case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
        case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
            throw Error(CUDA_ERROR_NOT_SUPPORTED, "there are no external semaphores");
        case CU_GRAPH_NODE_TYPE_MEM_ALLOC: {
            require(before == nullptr, CUDA_ERROR_NOT_SUPPORTED, "memory nodes do not change");
            const CUDA_MEM_ALLOC_NODE_PARAMS_v2& allocation = parameters->alloc;
            const CUDA_MEM_ALLOC_NODE_PARAMS same{allocation.poolProps, allocation.accessDescs,
                                                  allocation.accessDescCount, allocation.bytesize,
                                                  allocation.dptr};
            return allocation_work(driver, &same);
        }
        case CU_GRAPH_NODE_TYPE_MEM_FREE:
            require(before == nullptr, CUDA_ERROR_NOT_SUPPORTED, "memory nodes do not change");
            return free_work(driver, parameters->free.dptr);
        case CU_GRAPH_NODE_TYPE_CONDITIONAL:
            require(before == nullptr, CUDA_ERROR_NOT_SUPPORTED,
                    "conditional nodes do not change, but their bodies do");
            return conditional_work(driver, parameters->conditional);
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such type of node");
    }
}

}  // namespace cubar::softgpu::api
