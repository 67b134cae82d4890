// SPDX-License-Identifier: Apache-2.0
// Addresses of memory that graphs own: where they may lie, and until when this process knows them.
#include <catch2/catch.hpp>
#include <cstring>

#include "cubar/graph_node.h"
#include "fake_gpu.h"
#include "offers.h"

namespace cubar::guest::test {
namespace {

constexpr std::size_t kBytes = 1000;

struct GraphOwned {
    GraphOwned() {
        scene.gpu.on<wire::cuGraphCreate>([this](const auto&, wire::cuGraphCreate::Reply& reply) {
            reply.phGraph = GraphHandle(1, ++handles);
            return CUDA_SUCCESS;
        });
        scene.gpu.on<wire::cuGraphDestroy>([](const auto&, auto&) { return CUDA_SUCCESS; });
        scene.gpu.on<wire::cuGraphAddNode_v2>(
            [this](const wire::cuGraphAddNode_v2::Request& request,
                   wire::cuGraphAddNode_v2::Reply& reply) {
                reply.node = GraphNodeHandle(1, ++handles);
                if (request.type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) reply.address = offers.next();
                return CUDA_SUCCESS;
            });
        scene.gpu.on<wire::cuStreamBeginCapture_v2>(
            [](const auto&, auto&) { return CUDA_SUCCESS; });
        scene.gpu.on<wire::cuStreamEndCapture>(
            [this](const auto&, wire::cuStreamEndCapture::Reply& reply) {
                reply.graph = GraphHandle(1, ++handles);
                return CUDA_SUCCESS;
            });
        scene.gpu.on<wire::cuMemAllocAsync>(
            [this](const auto&, wire::cuMemAllocAsync::Reply& reply) {
                reply.address = offers.next();
                return CUDA_SUCCESS;
            });
        scene.gpu.on<wire::graph_free>([](const auto&, auto&) { return CUDA_SUCCESS; });
        answer_ended(0);
        REQUIRE(cuGraphCreate(&graph, 0) == CUDA_SUCCESS);
    }
    ~GraphOwned() {
        answer_ended(1);
        CHECK(cuGraphDestroy(graph) == CUDA_SUCCESS);
    }
    GraphOwned(const GraphOwned&) = delete;
    GraphOwned& operator=(const GraphOwned&) = delete;

    /// What the host says of all addresses.
    void answer_ended(std::uint8_t ended) {
        scene.gpu.on<wire::graph_memory_ended>(
            [ended](const wire::graph_memory_ended::Request& request,
                    wire::graph_memory_ended::Reply& reply) {
                std::memset(reply.ended, ended, request.count);
                return CUDA_SUCCESS;
            });
    }
    CUdeviceptr allocate() {
        CUDA_MEM_ALLOC_NODE_PARAMS wanted{};
        wanted.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
        wanted.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
        wanted.bytesize = kBytes;
        REQUIRE(cuGraphAddMemAllocNode(&node, graph, nullptr, 0, &wanted) == CUDA_SUCCESS);
        return wanted.dptr;
    }
    static bool known(CUdeviceptr address) {
        CUdeviceptr base = 0;
        std::size_t bytes = 0;
        const CUresult result = cuMemGetAddressRange_v2(&base, &bytes, address + kBytes - 1);
        return result == CUDA_SUCCESS && base == address && bytes == kBytes;
    }

    Scene scene;
    std::uint32_t handles = 100;
    Offers offers;
    CUstream stream = make_stream();
    CUgraph graph = nullptr;
    CUgraphNode node = nullptr;
};

}  // namespace

TEST_CASE_METHOD(GraphOwned, "A graph's memory never lies where the program has memory of its own",
                 "[graph memory]") {
    const CUdeviceptr address = allocate();
    CHECK(address == offers.first + kOfferBytes);
    CHECK(known(address));
    CHECK(Offers::reserved(address));
    // No node can be taken out again: the graph frees what collided, right behind it.
    const auto made = scene.gpu.sent<wire::cuGraphAddNode_v2>();
    REQUIRE(made.size() == 3);
    CHECK(made[1].as<wire::cuGraphAddNode_v2>().type == CU_GRAPH_NODE_TYPE_MEM_ALLOC);
    CHECK(made[2].as<wire::cuGraphAddNode_v2>().type == CU_GRAPH_NODE_TYPE_MEM_FREE);
    CHECK(made[2].as<wire::cuGraphAddNode_v2>().count == 1);
    const auto payload = made[2].payload<wire::cuGraphAddNode_v2>();
    std::uint64_t words[2] = {};
    REQUIRE(payload.size() >= sizeof words);
    std::memcpy(words, payload.data(), sizeof words);
    CHECK(words[0] != reinterpret_cast<std::uint64_t>(node));
    CHECK(AnyHandle(words[0]).kind() == Kind::kGraphNode);
    CHECK(words[1] == offers.first);
}

TEST_CASE_METHOD(GraphOwned, "What a capture allocates at a taken address the capture frees",
                 "[graph memory]") {
    REQUIRE(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL) == CUDA_SUCCESS);
    CUdeviceptr address = 0;
    REQUIRE(cuMemAllocAsync(&address, kBytes, stream) == CUDA_SUCCESS);
    CHECK(address == offers.first + kOfferBytes);
    CHECK(known(address));
    const auto freed = scene.gpu.sent<wire::graph_free>();
    REQUIRE(freed.size() == 1);
    CHECK(freed[0].as<wire::graph_free>().address == offers.first);
    CHECK(freed[0].as<wire::graph_free>().stream.bits() == reinterpret_cast<std::uint64_t>(stream));
    CUgraph captured = nullptr;
    REQUIRE(cuStreamEndCapture(stream, &captured) == CUDA_SUCCESS);
    answer_ended(1);
    CHECK(cuGraphDestroy(captured) == CUDA_SUCCESS);
    CHECK_FALSE(known(address));
    CHECK_FALSE(Offers::reserved(address));
}

TEST_CASE_METHOD(GraphOwned, "Only the host ends the address of a graph's memory",
                 "[graph memory]") {
    const CUdeviceptr address = allocate();
    CHECK(cuMemFreeAsync(address, stream) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::graph_free>() == 1);
    CHECK(scene.gpu.count<wire::cuMemFreeAsync>() == 0);
    CHECK(known(address));
    // Asked when the stream has been waited for, and when a graph goes.
    const std::size_t before = scene.gpu.count<wire::graph_memory_ended>();
    scene.gpu.on<wire::pool_observe>([](const auto&, auto&) { return CUDA_SUCCESS; });
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::graph_memory_ended>() == before + 1);
    CHECK(known(address));
    CHECK(Offers::reserved(address));
    CUgraph other = nullptr;
    REQUIRE(cuGraphCreate(&other, 0) == CUDA_SUCCESS);
    answer_ended(1);
    CHECK(cuGraphDestroy(other) == CUDA_SUCCESS);
    CHECK_FALSE(known(address));
    CHECK_FALSE(Offers::reserved(address));
    CHECK(cuMemFreeAsync(address, stream) == CUDA_ERROR_INVALID_VALUE);
    // Nothing is left to ask about.
    const std::size_t asked = scene.gpu.count<wire::graph_memory_ended>();
    REQUIRE(cuGraphCreate(&other, 0) == CUDA_SUCCESS);
    CHECK(cuGraphDestroy(other) == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::graph_memory_ended>() == asked);
}

TEST_CASE_METHOD(GraphOwned, "An address that the host gives to another allocation is that one's",
                 "[graph memory]") {
    const CUdeviceptr address = allocate();
    // It has ended, and before anybody asked the host has used it again.
    scene.gpu.on<wire::cuMemAllocAsync>(
        [address](const auto&, wire::cuMemAllocAsync::Reply& reply) {
            reply.address = address;
            reply.pool = MemoryPoolHandle(1, 5);
            return CUDA_SUCCESS;
        });
    CUdeviceptr pooled = 0;
    REQUIRE(cuMemAllocAsync(&pooled, kBytes, stream) == CUDA_SUCCESS);
    REQUIRE(pooled == address);
    answer_ended(1);
    CUgraph other = nullptr;
    REQUIRE(cuGraphCreate(&other, 0) == CUDA_SUCCESS);
    CHECK(cuGraphDestroy(other) == CUDA_SUCCESS);
    CHECK(known(pooled));
    CHECK(Offers::reserved(pooled));
    scene.gpu.on<wire::pool_observe>([](const auto&, auto&) { return CUDA_SUCCESS; });
    CHECK(cuMemFreeAsync(pooled, stream) == CUDA_SUCCESS);
    CHECK_FALSE(Offers::reserved(pooled));
    CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
}

}  // namespace cubar::guest::test
