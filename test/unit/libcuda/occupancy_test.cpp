// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fake_gpu.h"
#include "libcuda/occupancy_cache.h"

namespace cubar::guest::test {
namespace {

using W = wire::cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags;
using Question = OccupancyCache::Question;

int blocks_of(CUfunction function, int threads, std::size_t shared = 0) {
    int blocks = 0;
    REQUIRE(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, threads, shared) ==
            CUDA_SUCCESS);
    return blocks;
}

/// A GPU on which 2048 threads are resident, as long as `shared` bytes are enough for them.
void answer_by_threads(FakeGpu& gpu, int resident = 2048) {
    gpu.on<W>([resident](const W::Request& request, W::Reply& reply) {
        reply.numBlocks = request.dynamicSMemSize > 1000 ? 0 : resident / request.blockSize;
        return CUDA_SUCCESS;
    });
}

}  // namespace

TEST_CASE("An answer is kept for its own question only", "[occupancy]") {
    OccupancyCache cache;
    const auto* facts = reinterpret_cast<const KernelFacts*>(0x1000);
    const OccupancyCache::Key key{facts, 0, Question::kBlocks, 0, 128, 64};
    cache.keep(key, 5);
    CHECK(cache.find(key) == 5);
    for (const OccupancyCache::Key& other :
         {OccupancyCache::Key{nullptr, 0, Question::kBlocks, 0, 128, 64},
          OccupancyCache::Key{facts, 1, Question::kBlocks, 0, 128, 64},
          OccupancyCache::Key{facts, 0, Question::kDynamicShared, 0, 128, 64},
          OccupancyCache::Key{facts, 0, Question::kBlocks, 1, 128, 64},
          OccupancyCache::Key{facts, 0, Question::kBlocks, 0, 256, 64},
          OccupancyCache::Key{facts, 0, Question::kBlocks, 0, 128, 65}}) {
        CHECK_FALSE(cache.find(other));
    }
    cache.clear();
    CHECK_FALSE(cache.find(key));
}

TEST_CASE("A program that asks ever new questions does not fill its memory", "[occupancy]") {
    OccupancyCache cache;
    const auto key = [](std::uint64_t argument) {
        return OccupancyCache::Key{nullptr, 0, Question::kBlocks, 0, 32, argument};
    };
    for (std::uint64_t argument = 0; argument < 10'000; ++argument) {
        cache.keep(key(argument), argument);
        REQUIRE(cache.find(key(argument)) == argument);
    }
    CHECK_FALSE(cache.find(key(0)));
}

TEST_CASE("What was asked before is not asked again", "[occupancy]") {
    Scene scene;
    answer_by_threads(scene.gpu);
    const CUfunction function = make_function();
    CHECK(blocks_of(function, 128) == 16);
    CHECK(blocks_of(function, 128) == 16);
    CHECK(scene.gpu.count<W>() == 1);
    CHECK(blocks_of(function, 256) == 8);
    CHECK(scene.gpu.count<W>() == 2);
}

TEST_CASE("A new attribute makes old answers void", "[occupancy]") {
    Scene scene;
    answer_by_threads(scene.gpu);
    const CUfunction function = make_function();
    CHECK(blocks_of(function, 128) == 16);
    answer_by_threads(scene.gpu, 1024);
    REQUIRE(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100) ==
            CUDA_SUCCESS);
    CHECK(blocks_of(function, 128) == 8);
}

TEST_CASE("Answers go with the function's module, and with its context", "[occupancy]") {
    Scene scene;
    answer_by_threads(scene.gpu);
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    REQUIRE(cuModuleLoadData(&module, ".version 8.0\n") == CUDA_SUCCESS);
    REQUIRE(cuModuleGetFunction(&function, module, "first") == CUDA_SUCCESS);
    CHECK(blocks_of(function, 128) == 16);
    REQUIRE(cuModuleUnload(module) == CUDA_SUCCESS);
    answer_by_threads(scene.gpu, 1024);
    // Its facts lie where those of the first one lay.
    CHECK(blocks_of(make_function(), 128) == 8);

    CUcontext context = nullptr;
    REQUIRE(cuCtxCreate_v2(&context, 0, 0) == CUDA_SUCCESS);
    CHECK(blocks_of(make_function(), 64) == 16);
    REQUIRE(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
    answer_by_threads(scene.gpu, 512);
    CHECK(blocks_of(make_function(), 64) == 8);
}

TEST_CASE("The best block keeps most threads resident", "[occupancy]") {
    Scene scene;
    scene.gpu.on<W>([](const W::Request& request, W::Reply& reply) {
        // 3 of 384 are more threads than 1 of 1024 or 2 of 512.
        reply.numBlocks = 1200 / request.blockSize;
        return CUDA_SUCCESS;
    });
    const CUfunction function = make_function();
    int grid = 0;
    int block = 0;
    REQUIRE(cuOccupancyMaxPotentialBlockSize(&grid, &block, function, nullptr, 0, 0) ==
            CUDA_SUCCESS);
    int most = 0;
    for (int threads = 32; threads <= 1024; threads += 32) {
        most = std::max(most, 1200 / threads * threads);
    }
    CHECK(1200 / block * block == most);
    CHECK(grid == 1200 / block * 4);
    REQUIRE(cuOccupancyMaxPotentialBlockSize(&grid, &block, function, nullptr, 0, 100) ==
            CUDA_SUCCESS);
    CHECK(block <= 100);
    // A kernel that fits nowhere has no best block.
    answer_by_threads(scene.gpu);
    CHECK(cuOccupancyMaxPotentialBlockSize(
              &grid, &block, function, [](int) { return std::size_t{5000}; }, 0, 0) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("A cooperative grid must fit the GPU as a whole", "[occupancy]") {
    Scene scene;
    answer_by_threads(scene.gpu);
    const CUfunction function = make_function();
    const auto launch = [&](unsigned blocks) {
        int number = 0;
        void* arguments[] = {&number, &number, &number, &number};
        return cuLaunchCooperativeKernel(function, blocks, 1, 1, 128, 1, 1, 0, nullptr, arguments);
    };
    // 16 on each of four multiprocessors.
    CHECK(launch(64) == CUDA_SUCCESS);
    CHECK(launch(65) == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    CHECK(launch(0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(scene.gpu.count<W>() == 1);
    REQUIRE(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(scene.gpu.count<wire::cuLaunchKernelEx>() == 1);
}

TEST_CASE("Questions that make no sense are refused here", "[occupancy]") {
    Scene scene;
    const CUfunction function = make_function();
    int blocks = 0;
    std::size_t bytes = 0;
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(nullptr, function, 32, 0) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 0, 0) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&blocks, function, 32, 0, 8) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nullptr, 32, 0) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, function, 0, 32) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(scene.gpu.count<W>() == 0);
}

}  // namespace cubar::guest::test
