// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "cubar/graph_node.h"
#include "fake_session.h"

using namespace cubar;
using namespace cubar::host;
using namespace cubar::host::test;

namespace {

constexpr std::uint64_t kThreads = 64;  // of the fake device: 8 processors of 8

/// A session whose driver's functions and kernels want, for each thread, as many bytes of local
/// memory as their addresses are.
class LocalMemorySession : public FakeSession {
public:
    explicit LocalMemorySession(std::uint64_t quota = kQuota) : FakeSession(quota) {
        driver.table.cuFuncGetAttribute = [](int* value, CUfunction_attribute id,
                                             CUfunction function) {
            *value = id == CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES ? address(function) : 0;
            return CUDA_SUCCESS;
        };
        driver.table.cuKernelGetAttribute = [](int* value, CUfunction_attribute id, CUkernel kernel,
                                               CUdevice) {
            *value = id == CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES ? address(kernel) : 0;
            return CUDA_SUCCESS;
        };
    }

    FunctionHandle function(ContextHandle context, std::uintptr_t bytes) {
        const auto object = reinterpret_cast<CUfunction>(bytes);
        return session().handle_of(
            object, FunctionObject{.function = object, .context = context, .parameter_bytes = 0});
    }

    FunctionHandle kernel(std::uintptr_t bytes) {
        const auto object = reinterpret_cast<CUkernel>(bytes);
        return FunctionHandle(
            session()
                .handle_of(object, KernelObject{.kernel = object, .parameter_bytes = 0})
                .bits());
    }

    /// Launches, waits until that was executed, and tells what is charged.
    std::uint64_t launch(ContextHandle context, FunctionHandle function, StreamHandle stream = {}) {
        wire::cuLaunchKernel::Request request{};
        request.function = function;
        post<wire::cuLaunchKernel>(context, stream, request);
        wire::cuStreamQuery::Reply queried{};
        CHECK(call<wire::cuStreamQuery>(context, {}, {}, queried) == CUDA_SUCCESS);
        return cubard.used();
    }

private:
    static int address(const void* object) {
        return static_cast<int>(reinterpret_cast<std::uintptr_t>(object));
    }
};

}  // namespace

TEST_CASE("a context is charged for the local memory of its hungriest kernel", "[local_memory]") {
    LocalMemorySession fake;
    const ContextHandle context = fake.make_context();
    CHECK(fake.launch(context, fake.function(context, 100)) == 100 * kThreads);
    CHECK(fake.launch(context, fake.function(context, 100)) == 100 * kThreads);
    CHECK(fake.launch(context, fake.function(context, 40)) == 100 * kThreads);
    CHECK(fake.launch(context, fake.kernel(200)) == 200 * kThreads);
    CHECK(fake.driver.count("cuLaunchKernel 0") == 4);
    const ContextHandle other = fake.make_context();
    CHECK(fake.launch(other, fake.kernel(10)) == 210 * kThreads);
    SECTION("where its stream is, whatever context the record names") {
        const auto stream = fake.make_stream(other);
        CHECK(fake.launch(context, fake.kernel(150), stream.stream) == 350 * kThreads);
    }
    SECTION("until it ends") {
        wire::cuCtxDestroy_v2::Reply destroyed{};
        REQUIRE(fake.call<wire::cuCtxDestroy_v2>({}, {}, {context}, destroyed) == CUDA_SUCCESS);
        CHECK(fake.cubard.used() == 10 * kThreads);
    }
}

TEST_CASE("a kernel whose local memory is beyond the quota is not launched", "[local_memory]") {
    LocalMemorySession fake(100 * kThreads);
    const ContextHandle context = fake.make_context();
    CHECK(fake.launch(context, fake.function(context, 101)) == 0);
    CHECK(fake.driver.count("cuLaunchKernel 0") == 0);
    CHECK(fake.control().error_code.load() == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.launch(context, fake.function(context, 100)) == 100 * kThreads);
    CHECK(fake.driver.count("cuLaunchKernel 0") == 1);
}

TEST_CASE("a kernel is charged when it becomes a node of a graph, and its block must be whole",
          "[local_memory]") {
    LocalMemorySession fake(100 * kThreads);
    fake.driver.table.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*,
                                             const CUgraphEdgeData*, std::size_t,
                                             CUgraphNodeParams*) {
        *node = reinterpret_cast<CUgraphNode>(0x77);
        return CUDA_SUCCESS;
    };
    fake.driver.table.cuGraphCreate = [](CUgraph* graph, unsigned) {
        *graph = reinterpret_cast<CUgraph>(0x99);
        return CUDA_SUCCESS;
    };
    const ContextHandle context = fake.make_context();
    wire::cuGraphCreate::Reply graph{};
    REQUIRE(fake.call<wire::cuGraphCreate>(context, {}, {}, graph) == CUDA_SUCCESS);
    const auto add = [&](FunctionHandle function) {
        const node::Kernel kernel{function, {1, 1, 1}, {1, 1, 1}, 0, 0};
        wire::cuGraphAddNode_v2::Request request{};
        request.graph = graph.phGraph;
        request.type = CU_GRAPH_NODE_TYPE_KERNEL;
        request.payload_bytes = sizeof kernel;
        wire::cuGraphAddNode_v2::Reply reply{};
        return fake.call<wire::cuGraphAddNode_v2>(context, {}, request, reply,
                                                  std::as_bytes(std::span(&kernel, 1)));
    };
    // Of another nobody knows how large its parameter block is.
    const FunctionHandle unknown = fake.session().handle_of(reinterpret_cast<CUfunction>(7),
                                                            FunctionObject{.context = context});
    CHECK(add(unknown) == CUDA_ERROR_INVALID_VALUE);
    CHECK(add(fake.function(context, 101)) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(fake.cubard.used() == 0);
    CHECK(add(fake.function(context, 60)) == CUDA_SUCCESS);
    CHECK(fake.cubard.used() == 60 * kThreads);
}
