// SPDX-License-Identifier: Apache-2.0
// Occupancy through the driver API: blocks per multiprocessor, suggested block sizes, shared
// memory.
#include "driver_api.h"

namespace {

std::size_t CUDA_CB four_bytes_each(int threads) {
    return 4 * static_cast<std::size_t>(threads);
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    CUmodule module;
    CUfunction scale;
    DRIVER(cuModuleLoadData(&module, conformance::kScalePtx));
    DRIVER(cuModuleGetFunction(&scale, module, "scale"));
    int threads_per_processor = 0, processors = 0;
    DRIVER(cuDeviceGetAttribute(&threads_per_processor,
                                CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR,
                                context.device()));
    DRIVER(cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                                context.device()));

    int blocks = 0, before = 1 << 20;
    for (const int threads : {32, 128, 256, 1024}) {
        DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, scale, threads, 0));
        CHECK(blocks >= 1 && blocks <= before && blocks * threads <= threads_per_processor);
        std::printf("%d threads: %d blocks\n", threads, blocks);
        before = blocks;
    }
    int with_shared = 0;
    DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, scale, 128, 0));
    DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&with_shared, scale, 128, 40 * 1024,
                                                                CU_OCCUPANCY_DEFAULT));
    CHECK(with_shared >= 1 && with_shared < blocks);
    DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, scale, 1024, 1 << 20));
    CHECK(blocks == 0);

    int grid = 0, block = 0;
    DRIVER(cuOccupancyMaxPotentialBlockSize(&grid, &block, scale, nullptr, 0, 0));
    CHECK(block % 32 == 0 && block > 0 && block <= 1024 && grid >= processors);
    DRIVER(cuOccupancyMaxPotentialBlockSize(&grid, &block, scale, four_bytes_each, 0, 256));
    CHECK(block > 0 && block <= 256);
    std::size_t bytes = 0;
    DRIVER(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, scale, 2, 128));
    CHECK(bytes >= 16 * 1024);
    DRIVER_FAILS(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, scale, 0, 0),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuModuleUnload(module));
    return 0;
}
