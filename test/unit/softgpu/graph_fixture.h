// SPDX-License-Identifier: Apache-2.0
// What the tests of captures and graphs share: a context, a kernel, memory, streams.
#pragma once

#include <cuda.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

#define SUCCEEDS(call) REQUIRE((call) == CUDA_SUCCESS)

/// scale_add(values, factor, amount, count): values[i] = values[i] * factor + amount, so that the
/// order of two launches shows. out(): writes to address 8.
inline constexpr const char* kGraphPtx = R"(
.version 7.5
.target sm_75
.address_size 64

.visible .entry scale_add(.param .u64 values, .param .u32 factor, .param .u32 amount,
                          .param .u32 count)
{
    .reg .pred %p<2>;
    .reg .b32 %r<9>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [values];
    ld.param.u32 %r1, [factor];
    ld.param.u32 %r2, [amount];
    ld.param.u32 %r3, [count];
    mov.u32 %r4, %ctaid.x;
    mov.u32 %r5, %ntid.x;
    mov.u32 %r6, %tid.x;
    mad.lo.s32 %r7, %r4, %r5, %r6;
    setp.ge.u32 %p1, %r7, %r3;
    @%p1 bra done;
    mul.wide.u32 %rd2, %r7, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r8, [%rd3];
    mad.lo.u32 %r8, %r8, %r1, %r2;
    st.global.u32 [%rd3], %r8;
done:
    ret;
}

.visible .entry out()
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<2>;
    mov.u64 %rd1, 8;
    mov.u32 %r1, 1;
    st.global.u32 [%rd1], %r1;
    ret;
}
)";

class Device {
public:
    static constexpr unsigned kCount = 64;

    Device() {
        SUCCEEDS(cuInit(0));
        SUCCEEDS(cuCtxCreate(&context, nullptr, 0, 0));
        SUCCEEDS(cuModuleLoadData(&module, kGraphPtx));
        SUCCEEDS(cuModuleGetFunction(&kernel, module, "scale_add"));
        SUCCEEDS(cuMemAlloc(&values, kCount * 4));
        SUCCEEDS(cuMemsetD32(values, 1, kCount));
        SUCCEEDS(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
        SUCCEEDS(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
        SUCCEEDS(cuCtxSynchronize());
    }
    ~Device() { cuCtxDestroy(context); }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    CUresult launch(CUstream where, unsigned factor, unsigned amount) {
        unsigned count = kCount;
        void* parameters[] = {&values, &factor, &amount, &count};
        return cuLaunchKernel(kernel, 1, 1, 1, kCount, 1, 1, 0, where, parameters, nullptr);
    }

    /// The first of the values, once everything is done.
    unsigned value() {
        SUCCEEDS(cuCtxSynchronize());
        unsigned first = 0;
        SUCCEEDS(cuMemcpyDtoH(&first, values, 4));
        return first;
    }
    void reset(unsigned value) {
        SUCCEEDS(cuMemsetD32(values, value, kCount));
        SUCCEEDS(cuCtxSynchronize());
    }

    /// What such a graph makes of the values: instantiated, launched once, destroyed.
    void run(CUgraph graph) {
        CUgraphExec exec = nullptr;
        SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
        SUCCEEDS(cuGraphLaunch(exec, stream));
        SUCCEEDS(cuGraphExecDestroy(exec));
        SUCCEEDS(cuStreamSynchronize(stream));
    }

    CUcontext context = nullptr;
    CUmodule module = nullptr;
    CUfunction kernel = nullptr;
    CUdeviceptr values = 0;
    CUstream stream = nullptr;
    CUstream other = nullptr;
};

/// The parameters of a scale_add node, which point into this object.
struct KernelNode {
    KernelNode(const Device& device, unsigned by, unsigned plus)
        : values(device.values), factor(by), amount(plus) {
        node.func = device.kernel;
        node.gridDimX = node.gridDimY = node.gridDimZ = 1;
        node.blockDimX = Device::kCount;
        node.blockDimY = node.blockDimZ = 1;
        node.kernelParams = pointers;
    }
    KernelNode(const KernelNode&) = delete;
    KernelNode& operator=(const KernelNode&) = delete;

    CUdeviceptr values;
    unsigned factor;
    unsigned amount;
    unsigned count = Device::kCount;
    void* pointers[4] = {&values, &factor, &amount, &count};
    CUDA_KERNEL_NODE_PARAMS node{};
};

/// A copy of `size` bytes from the device to the host.
inline CUDA_MEMCPY3D to_host(void* to, CUdeviceptr from, std::size_t size) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = from;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to;
    copy.WidthInBytes = size;
    copy.Height = copy.Depth = 1;
    return copy;
}

inline std::size_t node_count(CUgraph graph) {
    std::size_t count = 0;
    SUCCEEDS(cuGraphGetNodes(graph, nullptr, &count));
    return count;
}

inline std::vector<CUgraphNode> nodes_of(CUgraph graph) {
    std::vector<CUgraphNode> nodes(node_count(graph));
    std::size_t count = nodes.size();
    SUCCEEDS(cuGraphGetNodes(graph, nodes.data(), &count));
    return nodes;
}

inline CUgraphNodeType type_of(CUgraphNode node) {
    CUgraphNodeType type{};
    SUCCEEDS(cuGraphNodeGetType(node, &type));
    return type;
}
