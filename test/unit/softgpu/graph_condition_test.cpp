// SPDX-License-Identifier: Apache-2.0
// Conditional nodes where programs do not lead: wrong handles, loops that do not end, contexts,
// captures that are under way.
#include <cuda.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "test/unit/softgpu/graph_fixture.h"

namespace {

/// decide(condition, values, limit): adds 1 to values[0], and sets the condition to whether it is
/// less than the limit.
constexpr const char* kDecidePtx = R"(
.version 8.5
.target sm_75
.address_size 64

.extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);

.visible .entry decide(.param .u64 condition, .param .u64 values, .param .u32 limit)
{
    .reg .pred %p<2>;
    .reg .b32 %r<4>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [condition];
    ld.param.u64 %rd2, [values];
    ld.param.u32 %r1, [limit];
    ld.global.u32 %r2, [%rd2];
    add.u32 %r2, %r2, 1;
    st.global.u32 [%rd2], %r2;
    setp.lt.u32 %p1, %r2, %r1;
    selp.u32 %r3, 1, 0, %p1;
    {
        .param .b64 param0;
        st.param.b64 [param0], %rd1;
        .param .b32 param1;
        st.param.b32 [param1], %r3;
        call.uni cudaGraphSetConditional, (param0, param1);
    }
    ret;
}
)";

struct Deciding : Device {
    Deciding() {
        SUCCEEDS(cuModuleLoadData(&decisions, kDecidePtx));
        SUCCEEDS(cuModuleGetFunction(&decide, decisions, "decide"));
        SUCCEEDS(cuGraphCreate(&graph, 0));
        SUCCEEDS(cuGraphConditionalHandleCreate(&condition, graph, context, 1,
                                                CU_GRAPH_COND_ASSIGN_DEFAULT));
        reset(0);
    }

    CUgraph loop() {
        CUgraphNodeParams parameters{};
        parameters.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
        parameters.conditional = {condition, CU_GRAPH_COND_TYPE_WHILE, 1, nullptr, context};
        SUCCEEDS(cuGraphAddNode(&node, graph, nullptr, nullptr, 0, &parameters));
        return parameters.conditional.phGraph_out[0];
    }
    CUresult add_decision(CUgraph where, CUfunction what, unsigned limit) {
        CUgraphNode made = nullptr;
        void* pointers[] = {&condition, &values, &limit};
        CUDA_KERNEL_NODE_PARAMS parameters{};
        parameters.func = what;
        parameters.gridDimX = parameters.gridDimY = parameters.gridDimZ = 1;
        parameters.blockDimX = parameters.blockDimY = parameters.blockDimZ = 1;
        parameters.kernelParams = pointers;
        return cuGraphAddKernelNode(&made, where, nullptr, 0, &parameters);
    }

    CUmodule decisions = nullptr;
    CUfunction decide = nullptr;
    CUgraph graph = nullptr;
    CUgraphNode node = nullptr;
    CUgraphConditionalHandle condition = 0;
};

}  // namespace

TEST_CASE_METHOD(Deciding, "a loop ends when its kernel says so") {
    SUCCEEDS(add_decision(loop(), decide, 7));
    run(graph);
    CHECK(value() == 7);
}

TEST_CASE_METHOD(Deciding, "a kernel that sets a condition of no graph faults") {
    SUCCEEDS(cuGraphDestroy(graph));
    void* pointers[] = {&condition, &values, &values};
    SUCCEEDS(cuLaunchKernel(decide, 1, 1, 1, 1, 1, 1, 0, stream, pointers, nullptr));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_LAUNCH_FAILED);
}

TEST_CASE_METHOD(Deciding, "a loop that never ends ends with its context") {
    SUCCEEDS(add_decision(loop(), decide, ~0u));
    CUgraphExec exec = nullptr;
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    CHECK(cuStreamQuery(stream) == CUDA_ERROR_NOT_READY);
    SUCCEEDS(cuCtxDestroy(context));
    SUCCEEDS(cuGraphExecDestroy(exec));
    SUCCEEDS(cuGraphDestroy(graph));
}

TEST_CASE_METHOD(Deciding, "a fault in a body ends the loop") {
    const CUgraph body = loop();
    CUfunction out = nullptr;
    SUCCEEDS(cuModuleGetFunction(&out, module, "out"));
    SUCCEEDS(add_decision(body, out, 0));
    CUgraphExec exec = nullptr;
    SUCCEEDS(cuGraphInstantiate(&exec, graph, 0));
    SUCCEEDS(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_METHOD(Deciding, "a body's kernels are of the condition's context") {
    const CUgraph body = loop();
    CUcontext second = nullptr;
    SUCCEEDS(cuCtxCreate(&second, nullptr, 0, 0));
    CUmodule copy = nullptr;
    CUfunction foreign = nullptr;
    SUCCEEDS(cuModuleLoadData(&copy, kDecidePtx));
    SUCCEEDS(cuModuleGetFunction(&foreign, copy, "decide"));
    SUCCEEDS(add_decision(body, foreign, 3));
    CUDA_GRAPH_INSTANTIATE_PARAMS how{};
    CUgraphExec exec = nullptr;
    CHECK(cuGraphInstantiateWithParams(&exec, graph, &how) == CUDA_ERROR_INVALID_VALUE);
    CHECK(how.result_out == CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    CHECK(how.hErrNode_out == node);

    // Nor can a node be of another context than its condition.
    CUgraphNodeParams parameters{};
    parameters.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    SUCCEEDS(cuGraphConditionalHandleCreate(&parameters.conditional.handle, graph, context, 0, 0));
    parameters.conditional.size = 1;
    parameters.conditional.ctx = second;
    CUgraphNode made = nullptr;
    CHECK(cuGraphAddNode(&made, graph, nullptr, nullptr, 0, &parameters) ==
          CUDA_ERROR_INVALID_VALUE);
    parameters.conditional.ctx = nullptr;  // the current one, which is the second
    CHECK(cuGraphAddNode(&made, graph, nullptr, nullptr, 0, &parameters) ==
          CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuCtxDestroy(second));
}

TEST_CASE_METHOD(Deciding, "a body that is being captured holds what is around it") {
    const CUgraph body = loop();
    CUgraphExec exec = nullptr;
    SUCCEEDS(cuStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0,
                                         CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK(cuGraphInstantiate(&exec, graph, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphDestroyNode(node) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGraphDestroy(graph) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(launch(stream, 2, 1));
    CUgraph same = nullptr;
    SUCCEEDS(cuStreamEndCapture(stream, &same));
    CHECK(same == body);
    CHECK(cuGraphInstantiate(&exec, body, 0) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphDestroy(graph));
}

TEST_CASE_METHOD(Deciding, "child graphs of a body obey its rules as long as they live") {
    const CUgraph body = loop();
    CUgraph child = nullptr;
    SUCCEEDS(cuGraphCreate(&child, 0));
    CUgraphNode inside = nullptr, made = nullptr;
    SUCCEEDS(cuGraphAddChildGraphNode(&inside, body, nullptr, 0, child));
    CUgraph own = nullptr;
    SUCCEEDS(cuGraphChildGraphNodeGetGraph(inside, &own));
    const CUDA_HOST_NODE_PARAMS call{[](void*) {}, nullptr};
    CHECK(cuGraphAddHostNode(&made, own, nullptr, 0, &call) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphAddHostNode(&made, child, nullptr, 0, &call));
    CUgraphNodeParams parameters{};
    parameters.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    parameters.conditional.size = 1;
    SUCCEEDS(cuGraphConditionalHandleCreate(&parameters.conditional.handle, own, context, 0, 0));
    CHECK(cuGraphAddNode(&made, own, nullptr, nullptr, 0, &parameters) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuGraphDestroy(child));
}

TEST_CASE_METHOD(Deciding, "a drawing shows the bodies") {
    SUCCEEDS(add_decision(loop(), decide, 7));
    char path[] = "/tmp/graph-condition-XXXXXX";
    const int descriptor = ::mkstemp(path);
    REQUIRE(descriptor >= 0);
    SUCCEEDS(cuGraphDebugDotPrint(graph, ("/proc/self/fd/" + std::to_string(descriptor)).c_str(),
                                  CU_GRAPH_DEBUG_DOT_FLAGS_CONDITIONAL_NODE_PARAMS));
    std::FILE* file = ::fdopen(descriptor, "r");
    std::rewind(file);
    std::string text(4096, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    std::remove(path);
    CHECK(text.find("CONDITIONAL\\nWHILE of 1 graphs") != std::string::npos);
    CHECK(text.find("cluster_1") != std::string::npos);
    CHECK(text.find("KERNEL\\ndecide") != std::string::npos);
}
