// SPDX-License-Identifier: Apache-2.0
// What crosses the channel, counted by hand from the protocol, so that a change of the generator or
// of a description that moves a byte is seen. Sizes are bytes of the request and of the reply; a
// request or reply without fields is 8 bytes of padding.
#include <catch2/catch.hpp>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "cubar/wire.h"

namespace {

namespace wire = cubar::wire;

template <class W>
void expect(std::size_t request, std::size_t reply) {
    INFO(W::kName);
    CHECK(sizeof(typename W::Request) == request);
    CHECK(sizeof(typename W::Reply) == reply);
    CHECK(alignof(typename W::Request) <= cubar::kRecordAlign);
    CHECK(sizeof(typename W::Reply) <= cubar::kLongReplyBytes);
}

}  // namespace

TEST_CASE("records of cubar's own") {
    expect<wire::arena_lease>(8, 8 + 8 + 4 + 4);
    expect<wire::arena_return>(16, 8);
    expect<wire::thread_stream>(8, 8 + 8 + 4 + 4);
    expect<wire::thread_end>(8, 8);
    expect<wire::copy_in>(3 * 8 + 4 + 4, 8);
    expect<wire::copy_out>(3 * 8 + 4 + 4, 8);
    expect<wire::copy_inline>(8 + 4 + 4, 8);
    expect<wire::copy_3d>(9 * 8 + 3 * 4 + 4, 8);
    expect<wire::image_begin>(8, 4 + 4);
    expect<wire::image_part>(3 * 8 + 4 + 4, 8);
    expect<wire::image_end>(8, 8);
    expect<wire::function_parameters>(8 + 4 + 4, 4 + 1000 * 4 + 4);
    expect<wire::function_name>(8 + 4 + 4, 4 + 4000 + 4);
    expect<wire::function_facts>(8, 4 + 4 + 24 * 4 + 24 * 4 + 4 + 4);
    expect<wire::output>(8, 4 + 4 + 4 + 4000 + 4);
}

TEST_CASE("arrays, textures and surfaces") {
    expect<wire::cuArray3DCreate_v2>(3 * 8 + 3 * 4 + 4, 8);
    expect<wire::cuArrayDestroy>(8, 8);
    expect<wire::cuMipmappedArrayCreate>(3 * 8 + 4 * 4, 8);
    expect<wire::cuMipmappedArrayGetLevel>(8 + 4 + 4, 4 * 8 + 3 * 4 + 4);
    expect<wire::cuMipmappedArrayDestroy>(8, 8);
    expect<wire::copy_array>(9 * 8 + 2 * 8 + 6 * 8 + 3 * 4 + 4, 8);
    expect<wire::cuDeviceGetTexture1DLinearMaxWidth>(3 * 4 + 4, 8);
    expect<wire::cuTexObjectCreate>(9 * 8 + 24 * 4, 8);
    expect<wire::cuTexObjectDestroy>(8, 8);
    expect<wire::cuSurfObjectCreate>(8, 8);
    expect<wire::cuSurfObjectDestroy>(8, 8);
}

TEST_CASE("contexts") {
    expect<wire::cuCtxCreate_v2>(8, 8 + 8 + 4 * 4);
    expect<wire::cuCtxDestroy_v2>(8, 8);
    expect<wire::cuCtxSetFlags>(8, 8);
    expect<wire::cuCtxSynchronize>(8, 8);
    expect<wire::cuDevicePrimaryCtxRetain>(8, 8 + 8 + 5 * 4 + 4);
    expect<wire::cuDevicePrimaryCtxRelease_v2>(8, 8);
    expect<wire::cuDevicePrimaryCtxReset_v2>(8, 8);
    expect<wire::cuDevicePrimaryCtxSetFlags_v2>(8, 8);
    expect<wire::cuCtxSetLimit>(4 + 4 + 8, 8);
    expect<wire::cuCtxGetLimit>(8, 8);
    expect<wire::cuCtxGetCacheConfig>(8, 8);
    expect<wire::cuCtxSetCacheConfig>(8, 8);
    expect<wire::cuCtxResetPersistingL2Cache>(8, 8);
}

TEST_CASE("memory") {
    expect<wire::cuMemAlloc_v2>(8, 16);
    expect<wire::cuMemAllocPitch_v2>(8 + 8 + 4 + 4, 24);
    expect<wire::cuMemFree_v2>(8, 8);
    expect<wire::cuMemGetInfo_v2>(8, 16);
    expect<wire::cuMemcpyAsync>(24, 8);
    expect<wire::cuMemsetD8Async>(8 + 1 + 7 + 8, 8);
    expect<wire::cuMemsetD16Async>(8 + 2 + 6 + 8, 8);
    expect<wire::cuMemsetD32Async>(8 + 4 + 4 + 8, 8);
    expect<wire::cuMemsetD2D8Async>(8 + 8 + 1 + 7 + 8 + 8, 8);
    expect<wire::cuMemsetD2D16Async>(8 + 8 + 2 + 6 + 8 + 8, 8);
    expect<wire::cuMemsetD2D32Async>(8 + 8 + 4 + 4 + 8 + 8, 8);
}

TEST_CASE("streams and events") {
    expect<wire::cuStreamCreateWithPriority>(4 + 4, 8 + 8 + 4 + 4);
    expect<wire::cuStreamDestroy_v2>(8, 8);
    expect<wire::cuStreamQuery>(8, 8);
    expect<wire::cuStreamSynchronize>(8, 8);
    expect<wire::cuStreamWaitEvent>(8 + 4 + 4, 8);
    expect<wire::cuStreamCopyAttributes>(16, 8);
    expect<wire::cuStreamGetAttribute>(8 + 4 + 4, 64);
    expect<wire::cuStreamSetAttribute>(8 + 4 + 4 + 64, 8);
    expect<wire::cuEventCreate>(8, 8);
    expect<wire::cuEventDestroy_v2>(8, 8);
    expect<wire::cuEventQuery>(8, 8);
    expect<wire::cuEventSynchronize>(8, 8);
    expect<wire::cuEventRecordWithFlags>(8 + 4 + 4, 8);
    expect<wire::cuEventElapsedTime_v2>(16, 8);
}

TEST_CASE("modules, libraries and kernels") {
    constexpr std::size_t kFacts = 4 + 4 + 24 * 4 + 24 * 4 + 4 + 4;
    expect<wire::cuModuleUnload>(8, 8);
    expect<wire::cuModuleGetFunction>(8 + 4 + 4, 8 + kFacts);
    expect<wire::cuModuleGetFunctionCount>(8, 8);
    expect<wire::cuModuleEnumerateFunctions>(16, 8 + 256 * 8);
    expect<wire::cuModuleGetGlobal_v2>(8 + 4 + 4, 16);
    expect<wire::cuLibraryUnload>(8, 8);
    expect<wire::cuLibraryGetKernel>(8 + 4 + 4, 8 + kFacts);
    expect<wire::cuLibraryGetKernelCount>(8, 8);
    expect<wire::cuLibraryEnumerateKernels>(16, 8 + 256 * 8);
    expect<wire::cuLibraryGetModule>(8, 8);
    expect<wire::cuLibraryGetGlobal>(8 + 4 + 4, 16);
    expect<wire::cuKernelGetFunction>(8, 8 + kFacts);
    expect<wire::cuKernelGetAttribute>(4 + 4 + 8 + 4 + 4, 8);
    expect<wire::cuKernelSetAttribute>(4 + 4 + 8 + 4 + 4, 8);
    expect<wire::cuKernelSetCacheConfig>(8 + 4 + 4, 8);
    expect<wire::cuFuncGetAttribute>(4 + 4 + 8, 8);
    expect<wire::cuFuncSetAttribute>(8 + 4 + 4, 8);
    expect<wire::cuFuncSetCacheConfig>(8 + 4 + 4, 8);
    expect<wire::cuFuncGetModule>(8, 8);
    expect<wire::cuFuncIsLoaded>(8, 8);
    expect<wire::cuFuncLoad>(8, 8);
}

TEST_CASE("launches and occupancy") {
    expect<wire::cuLaunchKernel>(8 + 3 * 4 + 3 * 4 + 4 + 4, 8);
    expect<wire::cuLaunchKernelEx>(8 + 3 * 4 + 3 * 4 + 5 * 4 + 4, 8);
    expect<wire::cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags>(8 + 4 + 4 + 8 + 4 + 4, 8);
    expect<wire::cuOccupancyAvailableDynamicSMemPerBlock>(8 + 4 + 4, 8);
    expect<wire::cuOccupancyMaxPotentialClusterSize>(8 + 3 * 4 + 3 * 4 + 3 * 4 + 4, 8);
    expect<wire::cuOccupancyMaxActiveClusters>(8 + 3 * 4 + 3 * 4 + 3 * 4 + 4, 8);
    // A launch with the largest parameter block that CUDA allows fits into a record.
    CHECK(sizeof(cubar::RecordHeader) + sizeof(wire::cuLaunchKernelEx::Request) + 32'764 <
          cubar::kMaxRecordBytes);
}

TEST_CASE("captures and graphs") {
    expect<wire::cuStreamBeginCapture_v2>(8, 8);
    expect<wire::cuStreamBeginCaptureToGraph>(8 + 8 + 3 * 4 + 4, 8);
    expect<wire::cuStreamEndCapture>(8, 8);
    expect<wire::capture_record_event>(8 + 8 + 4 + 4, 8);
    expect<wire::capture_wait_event>(8 + 8 + 4 + 4, 8);
    expect<wire::capture_launch>(8 + 8, 8);
    expect<wire::capture_info>(8 + 4 + 4, 8 + 3 * 4 + 4 + 240 * 8 + 240 * 8);
    expect<wire::cuStreamUpdateCaptureDependencies_v2>(8 + 4 * 4, 8);
    expect<wire::cuGraphInstantiateWithParams>(8 + 8 + 8, 8 + 8 + 4 + 4);
    expect<wire::cuGraphExecGetFlags>(8, 8);
    expect<wire::cuGraphLaunch>(8, 8);
    expect<wire::cuGraphUpload>(8, 8);
    expect<wire::cuGraphExecDestroy>(8, 8);
    expect<wire::cuGraphDestroy>(8, 8);
    expect<wire::cuGraphExecUpdate_v2>(8 + 8, 8 + 8 + 4 + 4);
}

TEST_CASE("graphs that are built by hand") {
    expect<wire::cuGraphCreate>(8, 8);
    expect<wire::cuGraphClone>(8, 8);
    expect<wire::cuGraphNodeFindInClone>(16, 8);
    expect<wire::cuGraphDestroyNode>(8, 8);
    expect<wire::cuGraphAddNode_v2>(8 + 4 * 4, 8 + 8);
    expect<wire::cuGraphNodeSetParams>(8 + 4 + 4, 8);
    expect<wire::cuGraphExecNodeSetParams>(8 + 8 + 4 + 4, 8);
    expect<wire::cuGraphConditionalHandleCreate>(8 + 8 + 4 + 4, 8);
    expect<wire::graph_add_conditional>(3 * 8 + 4 * 4 + 4 + 4, 8 + 480 * 8);
    expect<wire::graph_list>(8 + 8 + 4 + 4, 4 + 4 + 3 * 160 * 8);
    expect<wire::graph_node_parameters>(8 + 4 + 4, 8 + 3 * 4 + 4000 + 4);
    expect<wire::graph_dot>(8 + 4 + 4, 8 + 4 + 4000 + 4);
    expect<wire::cuGraphAddDependencies_v2>(8 + 3 * 4 + 4, 8);
    expect<wire::cuGraphRemoveDependencies_v2>(8 + 3 * 4 + 4, 8);
    expect<wire::cuUserObjectCreate>(8 + 4 + 4, 8);
    expect<wire::cuDeviceGraphMemTrim>(4 + 4, 8);
    expect<wire::cuDeviceGetGraphMemAttribute>(4 + 4, 8);
    expect<wire::cuDeviceSetGraphMemAttribute>(4 + 4 + 8, 8);
    expect<wire::graph_launch>(8 + 8, 8);
    expect<wire::graph_free>(8 + 8, 8);
    expect<wire::graph_memory_ended>(4 + 4, 4000);
}

TEST_CASE("functions of the guest that the driver calls") {
    expect<wire::cuLaunchHostFunc>(8, 8);
    expect<wire::cuStreamAddCallback>(8, 8);
    expect<wire::host_call_wait>(8 + 4 + 4, 8 + 8 + 4 + 4);
    expect<wire::host_call_idle>(8, 8);
}
