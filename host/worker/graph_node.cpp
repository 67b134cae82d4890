// SPDX-License-Identifier: Apache-2.0
// Nodes of graphs: made, changed, and asked about.
#include "cubar/graph_node.h"

#include <cstring>
#include <vector>

#include "cubar/host/dispatch.h"
#include "host/worker/arena_view.h"
#include "host/worker/graph_memory.h"
#include "host/worker/local_memory.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// Parameters of a node as the driver wants them, from how they cross.
class NodeParameters {
public:
    CUresult read(Session& session, std::uint32_t type, std::span<const std::byte> bytes);
    CUgraphNodeParams* data() { return &all_; }
    /// The graph that becomes the node's, if one does.
    GraphHandle moved() const { return moved_; }

private:
    template <typename Part>
    bool take(Part& part) {
        if (bytes_.size() < sizeof part) return false;
        std::memcpy(&part, bytes_.data(), sizeof part);
        bytes_ = bytes_.subspan(sizeof part);
        return true;
    }
    CUresult read_kernel(Session& session);
    CUresult read_memcpy(Session& session);
    CUresult read_memset(Session& session);
    CUresult read_child(Session& session);
    CUresult read_batch(Session& session);

    std::span<const std::byte> bytes_;
    CUgraphNodeParams all_{};
    GraphHandle moved_;
    std::size_t block_bytes_ = 0;
    void* extra_[5] = {};
    std::vector<CUstreamBatchMemOpParams> operations_;
};

CUresult NodeParameters::read_kernel(Session& session) {
    node::Kernel kernel;
    if (!take(kernel)) return CUDA_ERROR_INVALID_VALUE;
    FunctionObject* object = session.functions.find(kernel.function);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const std::uint32_t needed =
        std::atomic_ref(object->parameter_bytes).load(std::memory_order_relaxed);
    // As in launches: the driver reads the kernel's whole block, whatever size it is told.
    if (kernel.parameter_bytes != bytes_.size() || needed > bytes_.size()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    CUBAR_TRY(charge_local_memory(session, object->context, *object));
    CUDA_KERNEL_NODE_PARAMS_v3& out = all_.kernel;
    out.func = object->function;
    out.gridDimX = kernel.grid[0];
    out.gridDimY = kernel.grid[1];
    out.gridDimZ = kernel.grid[2];
    out.blockDimX = kernel.block[0];
    out.blockDimY = kernel.block[1];
    out.blockDimZ = kernel.block[2];
    out.sharedMemBytes = kernel.shared_bytes;
    if (bytes_.empty()) return CUDA_SUCCESS;
    block_bytes_ = bytes_.size();
    extra_[0] = CU_LAUNCH_PARAM_BUFFER_POINTER;
    extra_[1] = const_cast<std::byte*>(bytes_.data());
    extra_[2] = CU_LAUNCH_PARAM_BUFFER_SIZE;
    extra_[3] = &block_bytes_;
    extra_[4] = CU_LAUNCH_PARAM_END;
    out.extra = extra_;
    return CUDA_SUCCESS;
}

namespace {

/// The array that a guest's handle in its place means: the place could hold any pointer.
CUresult read_array(const Session& session, CUmemorytype type, CUarray& array) {
    const ArrayHandle handle(reinterpret_cast<std::uint64_t>(array));
    array = nullptr;
    if (type != CU_MEMORYTYPE_ARRAY) return CUDA_SUCCESS;
    CUBAR_TRY(session.arrays().resolve(handle, array));
    return array != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/// The other way; null where the guest does not know the array.
void show_array(const Session& session, CUarray& array) {
    const ArrayHandle handle = array == nullptr ? ArrayHandle{} : session.arrays().handle_of(array);
    array = reinterpret_cast<CUarray>(handle.bits());
}

}  // namespace

CUresult NodeParameters::read_memcpy(Session& session) {
    node::Memcpy copy;
    if (!take(copy)) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(read_array(session, copy.copy.srcMemoryType, copy.copy.srcArray));
    CUBAR_TRY(read_array(session, copy.copy.dstMemoryType, copy.copy.dstArray));
    all_.memcpy.copyParams = copy.copy;
    return session.resolve(copy.context, all_.memcpy.copyCtx);
}

CUresult NodeParameters::read_memset(Session& session) {
    node::Memset memset;
    if (!take(memset)) return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMSET_NODE_PARAMS_v2& out = all_.memset;
    out.dst = memset.address;
    out.pitch = memset.pitch;
    out.width = memset.width;
    out.height = memset.height;
    out.value = memset.value;
    out.elementSize = memset.element_bytes;
    return session.resolve(memset.context, out.ctx);
}

CUresult NodeParameters::read_child(Session& session) {
    node::Child child;
    if (!take(child)) return CUDA_ERROR_INVALID_VALUE;
    all_.graph.ownership = child.moves != 0 ? CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE
                                            : CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE;
    if (child.moves != 0) moved_ = child.graph;
    return session.resolve(child.graph, all_.graph.graph);
}

CUresult NodeParameters::read_batch(Session& session) {
    node::BatchMemOp batch;
    if (!take(batch) || bytes_.size() / sizeof operations_[0] != batch.count) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    operations_.resize(batch.count);
    if (batch.count != 0) {
        std::memcpy(operations_.data(), bytes_.data(), batch.count * sizeof operations_[0]);
    }
    all_.memOp.count = batch.count;
    all_.memOp.flags = batch.flags;
    all_.memOp.paramArray = operations_.data();
    return session.resolve(batch.context, all_.memOp.ctx);
}

CUresult NodeParameters::read(Session& session, std::uint32_t type,
                              std::span<const std::byte> bytes) {
    bytes_ = bytes;
    all_.type = static_cast<CUgraphNodeType>(type);
    switch (all_.type) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
            return read_kernel(session);
        case CU_GRAPH_NODE_TYPE_MEMCPY:
            return read_memcpy(session);
        case CU_GRAPH_NODE_TYPE_MEMSET:
            return read_memset(session);
        case CU_GRAPH_NODE_TYPE_GRAPH:
            return read_child(session);
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
            return read_batch(session);
        case CU_GRAPH_NODE_TYPE_EMPTY:
            return CUDA_SUCCESS;
        case CU_GRAPH_NODE_TYPE_HOST: {
            node::Host host;
            if (!take(host)) return CUDA_ERROR_INVALID_VALUE;
            all_.host.fn = &HostCalls::host_function;
            all_.host.userData = host_call_data(host.call);
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        case CU_GRAPH_NODE_TYPE_EVENT_RECORD: {
            node::Event event;
            if (!take(event)) return CUDA_ERROR_INVALID_VALUE;
            CUevent resolved = nullptr;
            CUBAR_TRY(session.resolve(event.event, resolved));
            if (all_.type == CU_GRAPH_NODE_TYPE_WAIT_EVENT) {
                all_.eventWait.event = resolved;
            } else {
                all_.eventRecord.event = resolved;
            }
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_MEM_FREE: {
            node::MemFree free;
            if (!take(free)) return CUDA_ERROR_INVALID_VALUE;
            all_.free.dptr = free.address;
            return CUDA_SUCCESS;
        }
        // Also what allocates: add_allocation() makes such nodes, and no driver changes them.
        default:
            return CUDA_ERROR_NOT_SUPPORTED;
    }
}

/// Parameters of a node of the driver as they cross.
class ShownParameters {
public:
    CUresult read(Session& session, CUgraphNode node, GraphHandle graph, CUgraphNodeType type);
    std::span<const std::byte> bytes() const { return bytes_; }

private:
    template <typename Part>
    void add(const Part& part) {
        add_bytes(&part, sizeof part);
    }
    void add_bytes(const void* from, std::size_t count) {
        const auto* first = static_cast<const std::byte*>(from);
        bytes_.insert(bytes_.end(), first, first + count);
    }
    CUresult read_kernel(Session& session, CUgraphNode node);
    CUresult read_batch(Session& session, CUgraphNode node);
    CUresult read_allocation(Session& session, CUgraphNode node);

    std::vector<std::byte> bytes_;
};

template <typename Handle, typename Table, typename Object>
Handle find_object(const Table& table, Object object, auto member) {
    Handle found;
    table.for_each([&](Handle handle, const auto& each) {
        if (each.*member == object) found = handle;
    });
    return found;
}

CUresult ShownParameters::read_kernel(Session& session, CUgraphNode node) {
    CUDA_KERNEL_NODE_PARAMS kernel{};
    CUBAR_TRY(ask(session.driver().cuGraphKernelNodeGetParams_v2, node, &kernel));
    // Drivers name a library's kernel by itself.
    const bool is_function = kernel.func != nullptr;
    const AnyHandle callee = is_function
                                 ? AnyHandle(find_object<FunctionHandle>(
                                       session.functions, kernel.func, &FunctionObject::function))
                                 : AnyHandle(find_object<KernelHandle>(session.kernels, kernel.kern,
                                                                       &KernelObject::kernel));
    if (!callee) return CUDA_ERROR_NOT_SUPPORTED;
    node::Kernel shown{FunctionHandle(callee.bits()),
                       {kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ},
                       {kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ},
                       kernel.sharedMemBytes,
                       0};
    std::vector<std::byte> block;
    for (std::size_t index = 0; kernel.kernelParams != nullptr; ++index) {
        std::size_t offset = 0;
        std::size_t size = 0;
        const CUresult result =
            is_function
                ? ask(session.driver().cuFuncGetParamInfo, kernel.func, index, &offset, &size)
                : ask(session.driver().cuKernelGetParamInfo, kernel.kern, index, &offset, &size);
        if (result != CUDA_SUCCESS) break;
        if (block.size() < offset + size) block.resize(offset + size);
        std::memcpy(block.data() + offset, kernel.kernelParams[index], size);
    }
    shown.parameter_bytes = static_cast<std::uint32_t>(block.size());
    add(shown);
    add_bytes(block.data(), block.size());
    return CUDA_SUCCESS;
}

CUresult ShownParameters::read_batch(Session& session, CUgraphNode node) {
    CUDA_BATCH_MEM_OP_NODE_PARAMS batch{};
    CUBAR_TRY(ask(session.driver().cuGraphBatchMemOpNodeGetParams, node, &batch));
    ContextHandle context;
    if (batch.ctx != nullptr) {
        context = find_object<ContextHandle>(session.contexts, batch.ctx, &ContextObject::context);
    }
    add(node::BatchMemOp{context, batch.count, batch.flags});
    for (CUstreamBatchMemOpParams each : std::span(batch.paramArray, batch.count)) {
        // For the driver's own use; it lies there in both kinds that have one.
        if (each.operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 ||
            each.operation == CU_STREAM_MEM_OP_WAIT_VALUE_64) {
            each.waitValue.alias = 0;
        } else if (each.operation == CU_STREAM_MEM_OP_WRITE_VALUE_32 ||
                   each.operation == CU_STREAM_MEM_OP_WRITE_VALUE_64) {
            each.writeValue.alias = 0;
        }
        add(each);
    }
    return CUDA_SUCCESS;
}

CUresult ShownParameters::read_allocation(Session& session, CUgraphNode node) {
    CUDA_MEM_ALLOC_NODE_PARAMS made{};
    CUBAR_TRY(ask(session.driver().cuGraphMemAllocNodeGetParams, node, &made));
    add(node::MemAlloc{made.dptr, made.bytesize, made.poolProps.maxSize, made.poolProps.location.id,
                       static_cast<std::uint32_t>(made.accessDescCount)});
    for (const CUmemAccessDesc& each : std::span(made.accessDescs, made.accessDescCount)) {
        add(node::MemAccess{each.location.id, static_cast<std::uint32_t>(each.flags)});
    }
    return CUDA_SUCCESS;
}

CUresult ShownParameters::read(Session& session, CUgraphNode node, GraphHandle graph,
                               CUgraphNodeType type) {
    const Driver& driver = session.driver();
    switch (type) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
            return read_kernel(session, node);
        case CU_GRAPH_NODE_TYPE_MEMCPY: {
            node::Memcpy shown{};
            CUBAR_TRY(ask(driver.cuGraphMemcpyNodeGetParams, node, &shown.copy));
            show_array(session, shown.copy.srcArray);
            show_array(session, shown.copy.dstArray);
            add(shown);
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_MEMSET: {
            CUDA_MEMSET_NODE_PARAMS memset{};
            CUBAR_TRY(ask(driver.cuGraphMemsetNodeGetParams, node, &memset));
            add(node::Memset{{},
                             memset.dst,
                             memset.pitch,
                             memset.width,
                             memset.height,
                             memset.value,
                             memset.elementSize});
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_HOST: {
            CUDA_HOST_NODE_PARAMS host{};
            CUBAR_TRY(ask(driver.cuGraphHostNodeGetParams, node, &host));
            add(node::Host{reinterpret_cast<std::uint64_t>(host.userData)});
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_GRAPH: {
            CUgraph child = nullptr;
            CUBAR_TRY(ask(driver.cuGraphChildGraphNodeGetGraph, node, &child));
            add(node::Child{session.graphs.handle_of(child, {child, graph, 0}), 0, 0});
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        case CU_GRAPH_NODE_TYPE_EVENT_RECORD: {
            CUevent event = nullptr;
            CUBAR_TRY(ask(type == CU_GRAPH_NODE_TYPE_WAIT_EVENT
                              ? driver.cuGraphEventWaitNodeGetEvent
                              : driver.cuGraphEventRecordNodeGetEvent,
                          node, &event));
            add(node::Event{find_object<EventHandle>(session.events, event, &EventObject::event)});
            return CUDA_SUCCESS;
        }
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
            return read_batch(session, node);
        case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
            return read_allocation(session, node);
        case CU_GRAPH_NODE_TYPE_MEM_FREE: {
            CUdeviceptr address = 0;
            CUBAR_TRY(ask(driver.cuGraphMemFreeNodeGetParams, node, &address));
            add(node::MemFree{address});
            return CUDA_SUCCESS;
        }
        default:
            return CUDA_SUCCESS;
    }
}

}  // namespace

CUresult handle_cuGraphAddNode_v2(Session& session, const transport::Record&,
                                  const wire::cuGraphAddNode_v2::Request& request,
                                  std::span<const std::byte> payload,
                                  wire::cuGraphAddNode_v2::Reply& reply) {
    CUgraph graph = nullptr;
    CUBAR_TRY(session.resolve(request.graph, graph));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.read(session, payload, request.count, request.with_edges != 0));
    const auto given = payload.subspan(dependencies.bytes());
    if (request.type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
        return add_allocation(session, request, graph, dependencies, given, reply);
    }
    NodeParameters parameters;
    CUBAR_TRY(parameters.read(session, request.type, given));
    CUgraphNode node = nullptr;
    CUBAR_TRY(ask(session.driver().cuGraphAddNode_v2, &node, graph,
                  static_cast<const CUgraphNode*>(dependencies.nodes()), dependencies.edges(),
                  dependencies.count(), parameters.data()));
    if (const GraphHandle graph_moved = parameters.moved()) {
        session.graphs.moved(graph_moved, request.graph);
        session.graph_memory().moved(graph_moved, request.graph);
    }
    reply.node = session.graphs.handle_of(node, request.graph);
    if (reply.node) return CUDA_SUCCESS;
    ask(session.driver().cuGraphDestroyNode, node);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuGraphNodeSetParams(Session& session, const transport::Record&,
                                     const wire::cuGraphNodeSetParams::Request& request,
                                     std::span<const std::byte> payload,
                                     wire::cuGraphNodeSetParams::Reply&) {
    CUgraphNode node = nullptr;
    CUBAR_TRY(session.resolve(request.node, node));
    NodeParameters parameters;
    CUBAR_TRY(parameters.read(session, request.type, payload));
    return ask(session.driver().cuGraphNodeSetParams, node, parameters.data());
}

CUresult handle_cuGraphExecNodeSetParams(Session& session, const transport::Record&,
                                         const wire::cuGraphExecNodeSetParams::Request& request,
                                         std::span<const std::byte> payload,
                                         wire::cuGraphExecNodeSetParams::Reply&) {
    CUgraphExec exec = nullptr;
    CUgraphNode node = nullptr;
    CUBAR_TRY(session.resolve(request.exec, exec));
    CUBAR_TRY(session.resolve(request.node, node));
    NodeParameters parameters;
    CUBAR_TRY(parameters.read(session, request.type, payload));
    return ask(session.driver().cuGraphExecNodeSetParams, exec, node, parameters.data());
}

CUresult handle_graph_node_parameters(Session& session, const transport::Record&,
                                      const wire::graph_node_parameters::Request& request,
                                      std::span<const std::byte>,
                                      wire::graph_node_parameters::Reply& reply) {
    const GraphNodeObject* object = session.graphs.nodes.find(request.node);
    if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUgraphNode node = object->node;
    reply.graph = object->graph;
    CUgraphNodeType type{};
    CUBAR_TRY(ask(session.driver().cuGraphNodeGetType, node, &type));
    reply.type = static_cast<std::uint32_t>(type);
    ShownParameters shown;
    CUBAR_TRY(shown.read(session, node, reply.graph, type));
    const auto all = shown.bytes();
    reply.total = static_cast<std::uint32_t>(all.size());
    if (request.first >= all.size()) return CUDA_SUCCESS;
    const auto part = all.subspan(request.first);
    reply.bytes = static_cast<std::uint32_t>(std::min(part.size(), sizeof reply.data));
    std::memcpy(reply.data, part.data(), reply.bytes);
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
