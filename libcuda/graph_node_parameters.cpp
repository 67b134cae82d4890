// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "libcuda/graph_copy.h"
#include "libcuda/graph_node.h"
#include "libcuda/kernel.h"
#include "libcuda/launch.h"

namespace cubar::guest {
namespace {

/// An end of a box in CUDA's words.
void describe(const CopyEnd& end, std::uint64_t pitch, std::uint64_t slice, CUmemorytype& type,
              CUdeviceptr& device, std::size_t& out_pitch, std::size_t& out_height) {
    type = CU_MEMORYTYPE_UNIFIED;
    device = end.address;
    out_pitch = pitch;
    out_height = pitch != 0 ? slice / pitch : 0;
}

void describe_array(const CopyEnd& end, CUmemorytype& type, CUarray& array, std::size_t& x,
                    std::size_t& y, std::size_t& z) {
    if (!end.array) return;
    type = CU_MEMORYTYPE_ARRAY;
    array = pointer_to<CUarray>(end.array);
    x = end.corner.x;
    y = end.corner.y;
    z = end.corner.z;
}

CUDA_MEMCPY3D described(const CopyBox& box) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = box.width;
    copy.Height = box.height;
    copy.Depth = box.depth;
    describe(box.source, box.source_pitch, box.source_slice, copy.srcMemoryType, copy.srcDevice,
             copy.srcPitch, copy.srcHeight);
    describe(box.target, box.target_pitch, box.target_slice, copy.dstMemoryType, copy.dstDevice,
             copy.dstPitch, copy.dstHeight);
    describe_array(box.source, copy.srcMemoryType, copy.srcArray, copy.srcXInBytes, copy.srcY,
                   copy.srcZ);
    describe_array(box.target, copy.dstMemoryType, copy.dstArray, copy.dstXInBytes, copy.dstY,
                   copy.dstZ);
    return copy;
}

}  // namespace

CUDA_KERNEL_NODE_PARAMS newest(const CUDA_KERNEL_NODE_PARAMS_v1& kernel) {
    return {kernel.func,         kernel.gridDimX,  kernel.gridDimY,  kernel.gridDimZ,
            kernel.blockDimX,    kernel.blockDimY, kernel.blockDimZ, kernel.sharedMemBytes,
            kernel.kernelParams, kernel.extra,     nullptr,          nullptr};
}

CUresult take_kernel(const Caller& caller, const CUDA_KERNEL_NODE_PARAMS& kernel,
                     NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_KERNEL;
    const CUfunction value =
        kernel.func != nullptr ? kernel.func : reinterpret_cast<CUfunction>(kernel.kern);
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Caller in = caller;
    // A kernel, unlike a function, is at home in no context, so that one may be named beside it.
    if (kernel.func == nullptr && kernel.ctx != nullptr) {
        in.context = caller.session->contexts.find(ContextHandle(bits_of(kernel.ctx)));
        if (in.context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    }
    Callee callee;
    CUBAR_TRY(find_callee(in, value, callee));
    out.prints = callee.facts->prints;
    std::vector<std::byte> block;
    CUBAR_TRY(gather_parameters(*callee.facts, kernel.kernelParams, kernel.extra, block));
    out.add(node::Kernel{callee.function,
                         {kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ},
                         {kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ},
                         kernel.sharedMemBytes,
                         static_cast<std::uint32_t>(block.size())});
    out.add(std::span<const std::byte>(block));
    return CUDA_SUCCESS;
}

CUresult take_copy(const Caller& caller, GraphResources& resources, const CUDA_MEMCPY3D& copy,
                   CUcontext context, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_MEMCPY;
    CopyBox box;
    CUBAR_TRY(find_box(caller, copy, box));
    out.stands_in = box.source.reach == Reach::kGuest || box.target.reach == Reach::kGuest;
    out.copy = copy;
    if (out.stands_in) CUBAR_TRY(stand_in(caller, resources, box));
    out.add(node::Memcpy{ContextHandle(bits_of(context)), out.stands_in ? described(box) : copy});
    return CUDA_SUCCESS;
}

CUresult take_memset(const CUDA_MEMSET_NODE_PARAMS& memset, CUcontext context,
                     NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_MEMSET;
    out.add(node::Memset{ContextHandle(bits_of(context)), memset.dst, memset.pitch, memset.width,
                         memset.height, memset.value, memset.elementSize});
    return CUDA_SUCCESS;
}

CUresult take_function(const Caller& caller, GraphResources& resources,
                       const CUDA_HOST_NODE_PARAMS& host, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_HOST;
    if (host.fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
    HostCall call;
    call.function = host.fn;
    call.data = host.userData;
    call.once = false;
    call.graph = &resources;
    out.call = caller.session->host_calls.add(call);
    if (out.call == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    // It goes with the graph, whatever becomes of this node.
    resources.add_call(*caller.session, out.call);
    out.add(node::Host{out.call});
    return CUDA_SUCCESS;
}

CUresult take_child(const Caller& caller, CUgraph value, bool moves, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_GRAPH;
    node::Child child{};
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, value, child.graph, graph));
    child.moves = moves ? 1 : 0;
    out.child = graph->resources;
    out.add(child);
    return CUDA_SUCCESS;
}

CUresult take_event(const Caller& caller, CUgraphNodeType type, CUevent value,
                    NodeParameters& out) {
    out.type = type;
    const EventHandle handle(bits_of(value));
    Event* event = caller.session->events.find(handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_GRAPH_NODE_TYPE_EVENT_RECORD) out.event = event;
    out.add(node::Event{handle});
    return CUDA_SUCCESS;
}

CUresult take_batch(const CUDA_BATCH_MEM_OP_NODE_PARAMS& batch, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
    constexpr std::size_t kMost = 256;  // as the driver
    if (batch.count > kMost || (batch.count != 0 && batch.paramArray == nullptr)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    out.add(node::BatchMemOp{ContextHandle(bits_of(batch.ctx)), batch.count, batch.flags});
    if (batch.count != 0) out.add(std::as_bytes(std::span(batch.paramArray, batch.count)));
    return CUDA_SUCCESS;
}

bool reserved_words_clear(const CUgraphNodeParams& any) {
    return any.reserved0[0] == 0 && any.reserved0[1] == 0 && any.reserved0[2] == 0 &&
           any.reserved2 == 0;
}

CUresult take_any(const Caller& caller, GraphResources& resources, const CUgraphNodeParams& any,
                  NodeParameters& out) {
    if (!reserved_words_clear(any)) return CUDA_ERROR_INVALID_VALUE;
    switch (any.type) {
        case CU_GRAPH_NODE_TYPE_KERNEL: {
            const auto& k = any.kernel;
            return take_kernel(
                caller,
                {k.func, k.gridDimX, k.gridDimY, k.gridDimZ, k.blockDimX, k.blockDimY, k.blockDimZ,
                 k.sharedMemBytes, k.kernelParams, k.extra, k.kern, k.ctx},
                out);
        }
        case CU_GRAPH_NODE_TYPE_MEMCPY:
            if (any.memcpy.flags != 0 || any.memcpy.reserved != 0) return CUDA_ERROR_INVALID_VALUE;
            return take_copy(caller, resources, any.memcpy.copyParams, any.memcpy.copyCtx, out);
        case CU_GRAPH_NODE_TYPE_MEMSET:
            return take_memset({any.memset.dst, any.memset.pitch, any.memset.value,
                                any.memset.elementSize, any.memset.width, any.memset.height},
                               any.memset.ctx, out);
        case CU_GRAPH_NODE_TYPE_HOST:
            return take_function(caller, resources, {any.host.fn, any.host.userData}, out);
        case CU_GRAPH_NODE_TYPE_GRAPH:
            return take_child(caller, any.graph.graph,
                              any.graph.ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE, out);
        case CU_GRAPH_NODE_TYPE_EMPTY:
            return CUDA_SUCCESS;
        case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
            return take_event(caller, any.type, any.eventWait.event, out);
        case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
            return take_event(caller, any.type, any.eventRecord.event, out);
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
            return take_batch(
                {any.memOp.ctx, any.memOp.count, any.memOp.paramArray, any.memOp.flags}, out);
        case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
        case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
        // Nodes that allocate or free are made otherwise, and never change.
        case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        case CU_GRAPH_NODE_TYPE_MEM_FREE:
        case CU_GRAPH_NODE_TYPE_CONDITIONAL:
            return CUDA_ERROR_NOT_SUPPORTED;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

}  // namespace cubar::guest
