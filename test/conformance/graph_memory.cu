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
