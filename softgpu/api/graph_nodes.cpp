// SPDX-License-Identifier: Apache-2.0
// Nodes of each type: made, asked and changed.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <utility>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/graph_parameters.h"
#include "softgpu/api/value_operation.h"
#include "softgpu/device/copy.h"
#include "softgpu/device/fill.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/memory_value.h"

using namespace cubar::softgpu;
using api::entry;
using api::graph_entry;
using api::graph_of;
using api::node_of;
using api::require;
using api::require_value;
using device::Driver;
using device::Graph;
using device::GraphRef;
using device::Graphs;
using device::NodeRef;
using device::Work;
using device::WorkRef;

namespace {

/// Where a new node goes.
struct Place {
    CUgraphNode* out;
    CUgraph graph;
    const CUgraphNode* dependencies;
    const CUgraphEdgeData* edges;
    size_t count;
};

/// `make` returns the work, and is called without the lock.
template <class Make>
CUresult add(const char* function, const Place& place, Make make, NodeRef* made = nullptr) {
    return entry(function, [&](Driver& driver) {
        require_value(place.out != nullptr, "a null pointer");
        WorkRef work = make(driver);
        Graphs& graphs = driver.graphs();
        std::lock_guard lock(graphs.mutex);
        const GraphRef graph = graph_of(graphs, place.graph);
        const auto* child = device::child_of(*work);
        // A graph that is moved in, not cloned, is the caller's until now.
        const bool moves = child != nullptr && child->graph()->owner == Graph::Owner::kCaller;
        require_value(!moves || !child->graph()->contains(*graph), "a graph inside of itself");
        const auto dependencies =
            api::dependencies_of(graphs, place.dependencies, place.edges, place.count);
        const NodeRef node = graph->add(work, dependencies);
        if (moves) child->graph()->owner = Graph::Owner::kMoved;
        *place.out = graphs.publish(*node);
        if (const auto* conditional = device::conditional_of(*work))
            for (const GraphRef& body : conditional->bodies())
                node->shown_graphs.push_back(graphs.publish(body));
        if (made != nullptr) *made = node;
    });
}

/// `make` returns the next work from the one before, and is called without the lock.
template <class Make>
CUresult set(const char* function, CUgraphNode handle, Make make) {
    return entry(function, [&](Driver& driver) {
        Graphs& graphs = driver.graphs();
        WorkRef before;
        {
            std::lock_guard lock(graphs.mutex);
            before = node_of(graphs, handle)->work();
        }
        WorkRef next = make(driver, before.get());
        std::lock_guard lock(graphs.mutex);
        const NodeRef node = node_of(graphs, handle);
        require_value(node->type() == next->type(), "the node is of another type");
        require(node->type() != CU_GRAPH_NODE_TYPE_GRAPH, CUDA_ERROR_NOT_SUPPORTED,
                "a child graph is changed through its own handle");
        node->set_work(std::move(next));
    });
}

/// Hands the work of a node of that type to `show`.
template <class Kind, class Show>
CUresult get(const char* function, CUgraphNode handle, CUgraphNodeType type, const void* out,
             Show show) {
    return graph_entry(function, [&](Graphs& graphs) {
        require_value(out != nullptr, "a null pointer");
        const NodeRef node = node_of(graphs, handle);
        require_value(node->type() == type, "the node is of another type");
        show(graphs, *node, static_cast<const Kind&>(*node->work()));
    });
}

/// Both structures name the members that they share alike.
template <class Parameters>
void show_launch(device::Node& node, const device::PreparedLaunch& launch, Parameters& shown) {
    const auto& config = launch.config();
    if (node.shown_pointers.empty()) node.shown_pointers = launch.parameter_pointers();
    shown = {};
    shown.func = launch.function()->handle;
    shown.gridDimX = config.grid.x;
    shown.gridDimY = config.grid.y;
    shown.gridDimZ = config.grid.z;
    shown.blockDimX = config.block.x;
    shown.blockDimY = config.block.y;
    shown.blockDimZ = config.block.z;
    shown.sharedMemBytes = config.dynamic_shared;
    shown.kernelParams = node.shown_pointers.data();
}

/// The library's kernel that a launch's function is of, or null: callers may have named either.
device::KernelRef kernel_of(const device::PreparedLaunch& launch) {
    Driver& driver = Driver::get();
    if (device::KernelRef named = driver.kernels.find(launch.kernel())) return named;
    for (device::KernelRef& kernel : driver.kernels.objects())
        if (kernel->cached(launch.context()->id()) == launch.function()) return kernel;
    return nullptr;
}

/// A function of a library's kernel has no handle until somebody asks for it.
void publish_function(const device::PreparedLaunch& launch) {
    Driver& driver = Driver::get();
    if (launch.function()->handle != nullptr) return;
    const device::KernelRef kernel = kernel_of(launch);
    require_value(kernel != nullptr, "the kernel's library is unloaded");
    const device::LibraryRef library = driver.libraries.find(kernel->library());
    require_value(library != nullptr, "the kernel's library is unloaded");
    driver.publish(launch.function(), driver.publish(launch.context()->module_of(library)));
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph,
                                                   const CUgraphNode* dependencies, size_t count,
                                                   const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    return add(__func__, {node, graph, dependencies, nullptr, count}, [&](Driver& driver) {
        require_value(parameters != nullptr, "a null pointer");
        const CUDA_KERNEL_NODE_PARAMS same = api::with_kernel(*parameters);
        return api::kernel_work(driver, &same, nullptr);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph,
                                                      const CUgraphNode* dependencies, size_t count,
                                                      const CUDA_KERNEL_NODE_PARAMS* parameters) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::kernel_work(driver, parameters, nullptr); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphKernelNodeGetParams(CUgraphNode handle,
                                                         CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    return get<device::PreparedLaunch>(
        __func__, handle, CU_GRAPH_NODE_TYPE_KERNEL, parameters,
        [&](Graphs&, device::Node& node, const device::PreparedLaunch& launch) {
            publish_function(launch);
            show_launch(node, launch, *parameters);
        });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphKernelNodeGetParams_v2(CUgraphNode handle,
                                                            CUDA_KERNEL_NODE_PARAMS* parameters) {
    return get<device::PreparedLaunch>(
        __func__, handle, CU_GRAPH_NODE_TYPE_KERNEL, parameters,
        [&](Graphs&, device::Node& node, const device::PreparedLaunch& launch) {
            show_launch(node, launch, *parameters);
            parameters->ctx = launch.context()->handle();
            // The runtime knows its kernels by that handle alone.
            if (const device::KernelRef kernel = kernel_of(launch)) {
                parameters->func = nullptr;
                parameters->kern = kernel->handle;
            }
        });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* parameters) {
    return set(__func__, node, [&](Driver& driver, const Work* before) {
        require_value(parameters != nullptr, "a null pointer");
        const CUDA_KERNEL_NODE_PARAMS same = api::with_kernel(*parameters);
        return api::kernel_work(driver, &same, before);
    });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* parameters) {
    return set(__func__, node, [&](Driver& driver, const Work* before) {
        return api::kernel_work(driver, parameters, before);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph,
                                                   const CUgraphNode* dependencies, size_t count,
                                                   const CUDA_MEMCPY3D* parameters,
                                                   CUcontext context) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::copy_work(driver, parameters, context); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphMemcpyNodeGetParams(CUgraphNode handle,
                                                         CUDA_MEMCPY3D* parameters) {
    return get<device::CopyWork>(__func__, handle, CU_GRAPH_NODE_TYPE_MEMCPY, parameters,
                                 [&](Graphs&, device::Node&, const device::CopyWork& copy) {
                                     *parameters = copy.description();
                                 });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphMemcpyNodeSetParams(CUgraphNode node,
                                                         const CUDA_MEMCPY3D* parameters) {
    return set(__func__, node, [&](Driver& driver, const Work*) {
        return api::copy_work(driver, parameters, nullptr);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph,
                                                   const CUgraphNode* dependencies, size_t count,
                                                   const CUDA_MEMSET_NODE_PARAMS* parameters,
                                                   CUcontext context) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::fill_work(driver, parameters, context); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphMemsetNodeGetParams(CUgraphNode handle,
                                                         CUDA_MEMSET_NODE_PARAMS* parameters) {
    return get<device::FillWork>(__func__, handle, CU_GRAPH_NODE_TYPE_MEMSET, parameters,
                                 [&](Graphs&, device::Node&, const device::FillWork& work) {
                                     const device::Fill& fill = work.fill();
                                     *parameters = {fill.base,    fill.pitch, fill.value,
                                                    fill.element, fill.width, fill.height};
                                 });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* parameters) {
    return set(__func__, node, [&](Driver& driver, const Work*) {
        return api::fill_work(driver, parameters, nullptr);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddHostNode(CUgraphNode* node, CUgraph graph,
                                                 const CUgraphNode* dependencies, size_t count,
                                                 const CUDA_HOST_NODE_PARAMS* parameters) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver&) { return api::host_work(parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphHostNodeGetParams(CUgraphNode handle,
                                                       CUDA_HOST_NODE_PARAMS* parameters) {
    return get<device::HostWork>(__func__, handle, CU_GRAPH_NODE_TYPE_HOST, parameters,
                                 [&](Graphs&, device::Node&, const device::HostWork& work) {
                                     *parameters = {work.function(), work.data()};
                                 });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphHostNodeSetParams(CUgraphNode node,
                                                       const CUDA_HOST_NODE_PARAMS* parameters) {
    return set(__func__, node, [&](Driver&, const Work*) { return api::host_work(parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph,
                                                       const CUgraphNode* dependencies,
                                                       size_t count, CUgraph child) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::child_work(driver, child); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph* child) {
    return get<device::ChildWork>(
        __func__, handle, CU_GRAPH_NODE_TYPE_GRAPH, child,
        [&](Graphs& graphs, device::Node&, const device::ChildWork& work) {
            *child = graphs.publish(work.graph());
        });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph,
                                                  const CUgraphNode* dependencies, size_t count) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [](Driver&) { return std::make_shared<device::EmptyWork>(); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph,
                                                        const CUgraphNode* dependencies,
                                                        size_t count, CUevent event) {
    return add(__func__, {node, graph, dependencies, nullptr, count}, [&](Driver& driver) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* event) {
    return get<device::EventWork>(
        __func__, node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event,
        [&](Graphs&, device::Node&, const device::EventWork& work) { *event = work.handle(); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
    return set(__func__, node, [&](Driver& driver, const Work*) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph,
                                                      const CUgraphNode* dependencies, size_t count,
                                                      CUevent event) {
    return add(__func__, {node, graph, dependencies, nullptr, count}, [&](Driver& driver) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* event) {
    return get<device::EventWork>(
        __func__, node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event,
        [&](Graphs&, device::Node&, const device::EventWork& work) { *event = work.handle(); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
    return set(__func__, node, [&](Driver& driver, const Work*) {
        return api::event_work(driver, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);
    });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphAddBatchMemOpNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                         size_t count, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::values_work(driver, parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphBatchMemOpNodeGetParams(CUgraphNode handle, CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
    return get<device::ValuesWork>(
        __func__, handle, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, parameters,
        [&](Graphs&, device::Node& node, const device::ValuesWork& work) {
            node.shown_operations.clear();
            for (const auto& each : work.operations())
                node.shown_operations.push_back(api::value_parameters(each));
            *parameters = {nullptr, static_cast<unsigned>(node.shown_operations.size()),
                           node.shown_operations.data(), 0};
        });
}

CUBAR_EXPORT CUresult CUDAAPI
cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS* parameters) {
    return set(__func__, node,
               [&](Driver& driver, const Work*) { return api::values_work(driver, parameters); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph,
                                                     const CUgraphNode* dependencies, size_t count,
                                                     CUDA_MEM_ALLOC_NODE_PARAMS* parameters) {
    WorkRef made;
    const CUresult result =
        add(__func__, {node, graph, dependencies, nullptr, count},
            [&](Driver& driver) { return made = api::allocation_work(driver, parameters); });
    if (result == CUDA_SUCCESS) parameters->dptr = (*device::allocated_by(*made))->base();
    return result;
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphMemAllocNodeGetParams(CUgraphNode node,
                                                           CUDA_MEM_ALLOC_NODE_PARAMS* parameters) {
    return get<device::AllocationWork>(
        __func__, node, CU_GRAPH_NODE_TYPE_MEM_ALLOC, parameters,
        [&](Graphs&, device::Node&, const device::AllocationWork& work) {
            const auto& access = work.access();
            *parameters = {work.properties(), access.empty() ? nullptr : access.data(),
                           access.size(), work.block()->size(), work.block()->base()};
        });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph,
                                                    const CUgraphNode* dependencies, size_t count,
                                                    CUdeviceptr address) {
    return add(__func__, {node, graph, dependencies, nullptr, count},
               [&](Driver& driver) { return api::free_work(driver, address); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* address) {
    return get<device::FreeWork>(__func__, node, CU_GRAPH_NODE_TYPE_MEM_FREE, address,
                                 [&](Graphs&, device::Node&, const device::FreeWork& work) {
                                     *address = work.block()->base();
                                 });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddNode(CUgraphNode* node, CUgraph graph,
                                             const CUgraphNode* dependencies, size_t count,
                                             CUgraphNodeParams* parameters) {
    return cuGraphAddNode_v2(node, graph, dependencies, nullptr, count, parameters);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph,
                                                const CUgraphNode* dependencies,
                                                const CUgraphEdgeData* edges, size_t count,
                                                CUgraphNodeParams* parameters) {
    NodeRef made;
    const CUresult result = add(
        __func__, {node, graph, dependencies, edges, count},
        [&](Driver& driver) { return api::work_of(driver, parameters, nullptr); }, &made);
    if (result != CUDA_SUCCESS) return result;
    if (const auto* block = device::allocated_by(*made->work()))
        parameters->alloc.dptr = (*block)->base();
    if (made->type() == CU_GRAPH_NODE_TYPE_CONDITIONAL)
        parameters->conditional.phGraph_out = made->shown_graphs.data();
    return result;
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphNodeSetParams(CUgraphNode node,
                                                   CUgraphNodeParams* parameters) {
    return set(__func__, node, [&](Driver& driver, const Work* before) {
        return api::work_of(driver, parameters, before);
    });
}
