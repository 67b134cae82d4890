// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/occupancy.h"

#include <cuda.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "softgpu/api/entry.h"
#include "softgpu/api/function_handle.h"
#include "softgpu/api/launch_attributes.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Architecture;
using device::Context;
using device::ContextRef;
using device::Device;
using device::Driver;
using device::FunctionRef;

namespace {

int blocks_at_once(const Architecture& architecture, const device::Function& function, int threads,
                   std::size_t dynamic_shared) {
    if (threads > function.max_threads_per_block()) return 0;
    return device::active_blocks(architecture,
                                 device::demand_of(function, threads, dynamic_shared));
}

CUresult max_active_blocks(const char* name, int* count, CUfunction handle, int threads,
                           std::size_t dynamic_shared, unsigned flags) {
    return entry(name, [&](Driver& driver) {
        require_value(count != nullptr && threads > 0, "an argument");
        require_value((flags & ~unsigned{CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE}) == 0,
                      "unknown flags");
        const ContextRef context = driver.current();
        const FunctionRef function = api::function_of(driver, *context, handle);
        function->prepare();
        *count =
            blocks_at_once(context->device().architecture(), *function, threads, dynamic_shared);
    });
}

CUresult max_potential_block(const char* name, int* grid, int* block, CUfunction handle,
                             CUoccupancyB2DSize shared_for, std::size_t dynamic_shared, int limit,
                             unsigned flags) {
    return entry(name, [&](Driver& driver) {
        require_value(grid != nullptr && block != nullptr && limit >= 0, "an argument");
        require_value((flags & ~unsigned{CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE}) == 0,
                      "unknown flags");
        const ContextRef context = driver.current();
        const FunctionRef function = api::function_of(driver, *context, handle);
        function->prepare();
        int largest = function->max_threads_per_block();
        if (limit != 0) largest = std::min(largest, limit);
        int best_threads = 0;
        int best_blocks = 0;
        // From the largest down in whole warps; the largest of equally good ones stays.
        constexpr int kWarp = Architecture::kWarpSize;
        for (int threads = (largest + kWarp - 1) / kWarp * kWarp; threads > 0; threads -= kWarp) {
            const int size = std::min(threads, largest);
            const std::size_t shared = shared_for != nullptr ? shared_for(size) : dynamic_shared;
            const int blocks =
                blocks_at_once(context->device().architecture(), *function, size, shared);
            if (blocks * size > best_blocks * best_threads) {
                best_threads = size;
                best_blocks = blocks;
            }
        }
        *block = best_threads;
        *grid = best_blocks * Device::kMultiprocessors;
    });
}

/// What the attributes of a launch ask for. Throws unless it has blocks.
api::LaunchForm read_form(const CUlaunchConfig* config) {
    require_value(config != nullptr && (config->numAttrs == 0 || config->attrs != nullptr),
                  "a null pointer");
    require_value(config->blockDimX != 0 && config->blockDimY != 0 && config->blockDimZ != 0,
                  "a block without threads");
    return api::read_attributes(std::span(config->attrs, config->numAttrs));
}

/// Blocks that the device can hold at once.
int blocks_on_device(const Context& context, const device::Function& function,
                     const CUlaunchConfig& config) {
    std::uint64_t threads = 1;
    for (const unsigned size : {config.blockDimX, config.blockDimY, config.blockDimZ}) {
        threads *= size;
        if (threads > Architecture::kThreadsPerBlock) return 0;
    }
    return Device::kMultiprocessors * blocks_at_once(context.device().architecture(), function,
                                                     static_cast<int>(threads),
                                                     config.sharedMemBytes);
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessor(int* count,
                                                                          CUfunction function,
                                                                          int threads,
                                                                          size_t shared) {
    return max_active_blocks(__func__, count, function, threads, shared, 0);
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int* count, CUfunction function, int threads, size_t shared, unsigned int flags) {
    return max_active_blocks(__func__, count, function, threads, shared, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxPotentialBlockSize(int* grid, int* block,
                                                               CUfunction function,
                                                               CUoccupancyB2DSize shared_for,
                                                               size_t shared, int limit) {
    return max_potential_block(__func__, grid, block, function, shared_for, shared, limit, 0);
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxPotentialBlockSizeWithFlags(
    int* grid, int* block, CUfunction function, CUoccupancyB2DSize shared_for, size_t shared,
    int limit, unsigned int flags) {
    return max_potential_block(__func__, grid, block, function, shared_for, shared, limit, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes,
                                                                      CUfunction handle, int blocks,
                                                                      int threads) {
    return entry(__func__, [&](Driver& driver) {
        require_value(bytes != nullptr && blocks > 0 && threads > 0, "an argument");
        const ContextRef context = driver.current();
        const FunctionRef function = api::function_of(driver, *context, handle);
        function->prepare();
        const Architecture& architecture = context->device().architecture();
        require_value(blocks <= blocks_at_once(architecture, *function, threads, 0),
                      "that many blocks cannot be resident");
        const auto own = static_cast<std::size_t>(function->static_shared());
        const std::size_t share = device::shared_per_block(architecture, blocks);
        *bytes = share > own ? share - own : 0;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxPotentialClusterSize(int* size, CUfunction handle,
                                                                 const CUlaunchConfig* config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(size != nullptr, "a null pointer");
        read_form(config);
        const ContextRef context = driver.current();
        const FunctionRef function = api::function_of(driver, *context, handle);
        function->prepare();
        const int blocks = blocks_on_device(*context, *function, *config);
        require_value(blocks > 0, "no such block fits");
        *size = std::min(blocks, function->max_cluster());
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuOccupancyMaxActiveClusters(int* count, CUfunction handle,
                                                           const CUlaunchConfig* config) {
    return entry(__func__, [&](Driver& driver) {
        require_value(count != nullptr, "a null pointer");
        const api::LaunchForm form = read_form(config);
        const ContextRef context = driver.current();
        const FunctionRef function = api::function_of(driver, *context, handle);
        function->prepare();
        const exec::Dim3 cluster = function->cluster_for(
            form.cluster, {config->gridDimX, config->gridDimY, config->gridDimZ});
        const int blocks = blocks_on_device(*context, *function, *config);
        *count = blocks / static_cast<int>(std::max<std::uint64_t>(cluster.count(), 1));
    });
}
