// SPDX-License-Identifier: Apache-2.0
// Memory that graphs allocate and free: by nodes, by capture, and what outlives a launch.
#include "driver_api.h"

namespace {

constexpr std::size_t kBytes = std::size_t{1} << 20;
constexpr std::size_t kWords = kBytes / 4;

CUDA_MEM_ALLOC_NODE_PARAMS wanted(std::size_t bytes) {
    CUDA_MEM_ALLOC_NODE_PARAMS parameters{};
    parameters.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    parameters.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    parameters.bytesize = bytes;
    return parameters;
}

CUgraphNode allocate(CUgraph graph, CUdeviceptr& address) {
    CUDA_MEM_ALLOC_NODE_PARAMS parameters = wanted(kBytes);
    CUgraphNode node = nullptr;
    DRIVER(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &parameters));
    address = parameters.dptr;
    CHECK(address != 0);
    return node;
}

CUgraphNode fill(CUgraph graph, CUgraphNode after, CUdeviceptr address, unsigned value,
                 CUcontext context) {
    CUDA_MEMSET_NODE_PARAMS parameters{};
    parameters.dst = address;
    parameters.value = value;
    parameters.elementSize = 4;
    parameters.width = kWords;
    parameters.height = 1;
    CUgraphNode node = nullptr;
    DRIVER(cuGraphAddMemsetNode(&node, graph, &after, 1, &parameters, context));
    return node;
}

void check(CUdeviceptr address, unsigned expected) {
    std::vector<unsigned> host(kWords);
    DRIVER(cuMemcpyDtoH(host.data(), address, kBytes));
    for (std::size_t i = 0; i < kWords; ++i) CHECK_AT(i, host[i], expected);
}

cuuint64_t used(CUdevice device) {
    cuuint64_t bytes = 0;
    DRIVER(cuDeviceGetGraphMemAttribute(device, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes));
    return bytes;
}

/// The same nodes by the function for all types; what is shown of them, and what they refuse.
void check_rules(const conformance::PrimaryContext& primary, CUstream stream) {
    CUgraph graph = nullptr, whole = nullptr;
    DRIVER(cuGraphCreate(&graph, 0));
    CUmemAccessDesc access{};
    access.location = {CU_MEM_LOCATION_TYPE_DEVICE, primary.device()};
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    CUgraphNodeParams any{};
    any.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    any.alloc.poolProps = wanted(kBytes).poolProps;
    any.alloc.accessDescs = &access;
    any.alloc.accessDescCount = 1;
    any.alloc.bytesize = kBytes;
    CUgraphNode allocation = nullptr, freed = nullptr, node = nullptr;
    DRIVER(cuGraphAddNode(&allocation, graph, nullptr, nullptr, 0, &any));
    const CUdeviceptr address = any.alloc.dptr;
    const CUgraphNode filled = fill(graph, allocation, address, 3, primary.context());
    any = {};
    any.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
    any.free.dptr = address;
    DRIVER(cuGraphAddNode(&freed, graph, &filled, nullptr, 1, &any));
    CUgraphNodeType type{};
    DRIVER(cuGraphNodeGetType(freed, &type));
    CHECK(type == CU_GRAPH_NODE_TYPE_MEM_FREE);
    CUDA_MEM_ALLOC_NODE_PARAMS shown{};
    DRIVER(cuGraphMemAllocNodeGetParams(allocation, &shown));
    CHECK(shown.accessDescCount == 1 && shown.accessDescs[0].location.id == primary.device());
    CHECK(shown.accessDescs[0].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    CUdeviceptr base = 0;
    std::size_t bytes = 0;
    DRIVER(cuMemGetAddressRange(&base, &bytes, address + kBytes - 1));
    CHECK(base == address && bytes == kBytes);

    CUdeviceptr other = 0;
    DRIVER_FAILS(cuGraphMemAllocNodeGetParams(freed, &shown), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphMemFreeNodeGetParams(allocation, &other), CUDA_ERROR_INVALID_VALUE);
    CUDA_MEM_ALLOC_NODE_PARAMS bad = wanted(0);
    DRIVER_FAILS(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &bad), CUDA_ERROR_INVALID_VALUE);
    bad = wanted(kBytes);
    bad.poolProps.location.id = 99;
    DRIVER_FAILS_WITH_ONE_OF(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &bad),
                             CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_INVALID_DEVICE);
    DRIVER_FAILS_WITH_ONE_OF(cuGraphRemoveDependencies(graph, &allocation, &filled, nullptr, 1),
                             CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED);
    DRIVER_FAILS_WITH_ONE_OF(cuGraphNodeSetParams(freed, &any), CUDA_ERROR_INVALID_VALUE,
                             CUDA_ERROR_NOT_SUPPORTED);
    // It can become another's part, but not a copy of it.
    DRIVER(cuGraphCreate(&whole, 0));
    DRIVER_FAILS_WITH_ONE_OF(cuGraphAddChildGraphNode(&node, whole, nullptr, 0, graph),
                             CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED);
    any = {};
    any.type = CU_GRAPH_NODE_TYPE_GRAPH;
    any.graph.graph = graph;
    any.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
    DRIVER(cuGraphAddNode(&node, whole, nullptr, nullptr, 0, &any));
    CUgraphExec exec = nullptr;
    DRIVER(cuGraphInstantiate(&exec, whole, 0));
    DRIVER(cuGraphDestroy(whole));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuStreamSynchronize(stream));
    DRIVER(cuGraphExecDestroy(exec));
    std::printf("kept the rules\n");

    // A graph that frees what nobody has allocated, and captures of what is no graph's.
    CUgraph owner = nullptr, frees = nullptr;
    DRIVER(cuGraphCreate(&owner, 0));
    CUdeviceptr idle = 0;
    allocate(owner, idle);
    DRIVER(cuGraphCreate(&frees, 0));
    DRIVER(cuGraphAddMemFreeNode(&node, frees, nullptr, 0, idle));
    DRIVER(cuGraphInstantiate(&exec, frees, 0));
    DRIVER_FAILS(cuGraphLaunch(exec, stream), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemFree(idle), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemFreeAsync(idle, stream), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(frees));
    DRIVER(cuGraphDestroy(owner));
    CUdeviceptr pooled = 0;
    DRIVER(cuMemAllocAsync(&pooled, kBytes, stream));
    DRIVER(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    DRIVER_FAILS(cuMemFreeAsync(pooled, stream), CUDA_ERROR_INVALID_VALUE);
    CUgraph captured = nullptr;
    const CUresult ended = cuStreamEndCapture(stream, &captured);
    if (ended == CUDA_SUCCESS) DRIVER(cuGraphDestroy(captured));
    DRIVER(cuMemFreeAsync(pooled, stream));
    DRIVER(cuStreamSynchronize(stream));
    std::printf("refused what is not allocated\n");
}

}  // namespace

int main() {
    const conformance::PrimaryContext primary;
    const CUcontext context = primary.context();
    CUstream stream = nullptr;
    DRIVER(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUdeviceptr result = 0;
    DRIVER(cuMemAlloc(&result, kBytes));

    // Freed in the same graph: launched again and again.
    CUgraph graph = nullptr;
    DRIVER(cuGraphCreate(&graph, 0));
    CUdeviceptr address = 0;
    const CUgraphNode allocation = allocate(graph, address);
    const CUgraphNode filled = fill(graph, allocation, address, 7, context);
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = address;
    copy.dstDevice = result;
    copy.WidthInBytes = kBytes;
    copy.Height = copy.Depth = 1;
    CUgraphNode copied = nullptr, freed = nullptr;
    DRIVER(cuGraphAddMemcpyNode(&copied, graph, &filled, 1, &copy, context));
    DRIVER(cuGraphAddMemFreeNode(&freed, graph, &copied, 1, address));
    CUDA_MEM_ALLOC_NODE_PARAMS shown{};
    DRIVER(cuGraphMemAllocNodeGetParams(allocation, &shown));
    CHECK(shown.dptr == address && shown.bytesize == kBytes);
    CHECK(shown.poolProps.location.type == CU_MEM_LOCATION_TYPE_DEVICE);
    CUdeviceptr freed_address = 0;
    DRIVER(cuGraphMemFreeNodeGetParams(freed, &freed_address));
    CHECK(freed_address == address);
    CUmemorytype type{};
    DRIVER(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address));
    CHECK(type == CU_MEMORYTYPE_DEVICE);
    // It is freed here and nowhere else, and what owns memory keeps its parts and has no copies.
    CUgraphNode node = nullptr;
    CUgraph other = nullptr;
    CUgraphExec exec = nullptr, second = nullptr;
    DRIVER_FAILS(cuGraphAddMemFreeNode(&node, graph, &freed, 1, address), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphAddMemFreeNode(&node, graph, &freed, 1, result), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS_WITH_ONE_OF(cuGraphClone(&other, graph), CUDA_ERROR_INVALID_VALUE,
                             CUDA_ERROR_NOT_SUPPORTED);
    DRIVER_FAILS_WITH_ONE_OF(cuGraphDestroyNode(filled), CUDA_ERROR_INVALID_VALUE,
                             CUDA_ERROR_NOT_SUPPORTED);
    DRIVER(cuGraphInstantiate(&exec, graph, 0));
    DRIVER_FAILS_WITH_ONE_OF(cuGraphInstantiate(&second, graph, 0), CUDA_ERROR_INVALID_VALUE,
                             CUDA_ERROR_NOT_SUPPORTED);
    for (unsigned launch = 0; launch < 3; ++launch) {
        DRIVER(cuMemsetD32Async(result, 0, kWords, stream));
        DRIVER(cuGraphLaunch(exec, stream));
        DRIVER(cuStreamSynchronize(stream));
        check(result, 7);
    }
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(graph));
    std::printf("freed in the graph\n");

    // Captured, and freed by whoever comes later.
    DRIVER(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    DRIVER(cuMemAllocAsync(&address, kBytes, stream));
    DRIVER(cuMemsetD32Async(address, 9, kWords, stream));
    DRIVER(cuStreamEndCapture(stream, &graph));
    DRIVER(cuGraphInstantiate(&exec, graph, 0));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuStreamSynchronize(stream));
    check(address, 9);
    CHECK(used(primary.device()) >= kBytes);
    DRIVER_FAILS(cuGraphLaunch(exec, stream), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemFreeAsync(address, stream));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuStreamSynchronize(stream));
    check(address, 9);
    DRIVER(cuMemFree(address));
    // By another graph.
    DRIVER(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    DRIVER(cuMemcpyDtoDAsync(result, address, kBytes, stream));
    DRIVER(cuMemFreeAsync(address, stream));
    DRIVER(cuStreamEndCapture(stream, &other));
    DRIVER(cuGraphInstantiate(&second, other, 0));
    for (unsigned launch = 0; launch < 2; ++launch) {
        DRIVER(cuMemsetD32Async(result, 0, kWords, stream));
        DRIVER(cuGraphLaunch(exec, stream));
        DRIVER(cuGraphLaunch(second, stream));
        DRIVER(cuStreamSynchronize(stream));
        check(result, 9);
    }
    DRIVER(cuGraphExecDestroy(second));
    DRIVER(cuGraphDestroy(other));
    DRIVER(cuGraphExecDestroy(exec));
    std::printf("freed by others\n");

    // By the next launch; and it outlives its graph.
    DRIVER(
        cuGraphInstantiateWithFlags(&exec, graph, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuGraphLaunch(exec, stream));
    DRIVER(cuGraphExecDestroy(exec));
    DRIVER(cuGraphDestroy(graph));
    DRIVER(cuStreamSynchronize(stream));
    check(address, 9);
    DRIVER(cuMemFree(address));
    DRIVER_FAILS(cuMemFree(address), CUDA_ERROR_INVALID_VALUE);
    std::printf("freed by the next launch\n");

    check_rules(primary, stream);
    DRIVER(cuDeviceGraphMemTrim(primary.device()));
    cuuint64_t reserved = 1;
    DRIVER(cuDeviceGetGraphMemAttribute(primary.device(), CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT,
                                        &reserved));
    CHECK(reserved == 0 && used(primary.device()) == 0);
    cuuint64_t zero = 0;
    DRIVER(cuDeviceSetGraphMemAttribute(primary.device(), CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &zero));
    DRIVER(cuStreamDestroy(stream));
    DRIVER(cuMemFree(result));
    return 0;
}
