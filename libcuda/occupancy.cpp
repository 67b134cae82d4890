// SPDX-License-Identifier: Apache-2.0
#include "libcuda/occupancy.h"

#include <algorithm>

#include "libcuda/attributes.h"
#include "libcuda/kernel.h"
#include "libcuda/launch.h"

namespace cubar::guest {

void attribute_was_set(Session& session, KernelFacts& facts, CUfunction_attribute attribute,
                       int value) {
    const auto index = static_cast<std::size_t>(attribute);
    if (index < kFunctionAttributes) facts.attribute[index].store(value, std::memory_order_relaxed);
    session.occupancy.clear();
}

namespace {

using Question = OccupancyCache::Question;

CUresult active_blocks(const Caller& caller, const Callee& callee, int block_threads,
                       std::size_t shared_bytes, unsigned flags, int& blocks) {
    const OccupancyCache::Key key{callee.facts, caller.context->device, Question::kBlocks,
                                  flags,        block_threads,          shared_bytes};
    if (const auto known = caller.session->occupancy.find(key)) {
        blocks = static_cast<int>(*known);
        return CUDA_SUCCESS;
    }
    using W = wire::cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags;
    W::Request request{};
    request.func = callee.function;
    request.blockSize = block_threads;
    request.dynamicSMemSize = shared_bytes;
    request.flags = flags;
    W::Reply reply{};
    CUBAR_TRY(call_in<W>(caller, caller.context->handle, {}, request, reply));
    blocks = reply.numBlocks;
    caller.session->occupancy.keep(key, static_cast<std::uint64_t>(blocks));
    return CUDA_SUCCESS;
}

/// The block size that keeps most threads resident, the larger one among equals.
CUresult best_block(const Caller& caller, const Callee& callee, CUoccupancyB2DSize shared_of,
                    std::size_t shared_bytes, int limit, unsigned flags, int& best, int& blocks) {
    const auto& attribute = caller.process->device_facts(caller.context->device).attribute;
    const int warp = attribute[CU_DEVICE_ATTRIBUTE_WARP_SIZE];
    int most = attribute[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK];
    int kernel_most = 0;
    if (known_attribute(*callee.facts, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel_most)) {
        most = std::min(most, kernel_most);
    }
    if (limit > 0) most = std::min(most, limit);
    int best_threads = 0;
    for (int threads = (most + warp - 1) / warp * warp; threads > 0; threads -= warp) {
        const int tried = std::min(threads, most);
        if (shared_of != nullptr) shared_bytes = shared_of(tried);
        int resident = 0;
        CUBAR_TRY(active_blocks(caller, callee, tried, shared_bytes, flags, resident));
        if (resident * tried > best_threads) {
            best_threads = resident * tried;
            best = tried;
            blocks = resident;
        }
    }
    return best_threads != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <typename W>
CUresult ask_clusters(int* out, CUfunction value, const CUlaunchConfig* config) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Callee callee;
    CUBAR_TRY(find_callee(caller, value, callee));
    LaunchAttributes attributes;
    CUBAR_TRY(attributes.encode(caller.session->events, *config));
    typename W::Request request{};
    request.function = callee.function;
    request.grid[0] = config->gridDimX;
    request.grid[1] = config->gridDimY;
    request.grid[2] = config->gridDimZ;
    request.block[0] = config->blockDimX;
    request.block[1] = config->blockDimY;
    request.block[2] = config->blockDimZ;
    request.shared_bytes = config->sharedMemBytes;
    request.attribute_count = attributes.count();
    request.payload_bytes = static_cast<std::uint32_t>(attributes.bytes().size());
    typename W::Reply reply{};
    CUBAR_TRY(call_in<W>(caller, caller.context->handle, {}, request, reply, attributes.bytes()));
    *out = reply.value;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult check_cooperative(const Caller& caller, const Callee& callee, std::uint64_t blocks,
                           std::uint32_t block_threads, std::uint32_t shared_bytes) {
    int supported = 0;
    CUBAR_TRY(device_attribute(*caller.context->device_facts, caller.process->device(),
                               CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, supported));
    if (supported == 0) return CUDA_ERROR_NOT_SUPPORTED;
    int resident = 0;
    CUBAR_TRY(active_blocks(caller, callee, static_cast<int>(block_threads), shared_bytes,
                            CU_OCCUPANCY_DEFAULT, resident));
    const auto& attribute = caller.context->device_facts->attribute;
    const auto processors =
        static_cast<std::uint64_t>(attribute[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT]);
    return blocks <= static_cast<std::uint64_t>(resident) * processors
               ? CUDA_SUCCESS
               : CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* out, CUfunction value,
                                                               int block_threads,
                                                               std::size_t shared_bytes,
                                                               unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || block_threads <= 0 ||
        (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Callee callee;
    CUBAR_TRY(find_callee(caller, value, callee));
    return active_blocks(caller, callee, block_threads, shared_bytes, flags, *out);
}

CUBAR_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* out, CUfunction function,
                                                      int block_threads, std::size_t shared_bytes) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(out, function, block_threads,
                                                                shared_bytes, CU_OCCUPANCY_DEFAULT);
}

CUBAR_API cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction value,
                                                    CUoccupancyB2DSize shared_of,
                                                    std::size_t shared_bytes, int limit,
                                                    unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (grid == nullptr || block == nullptr || limit < 0) return CUDA_ERROR_INVALID_VALUE;
    Callee callee;
    CUBAR_TRY(find_callee(caller, value, callee));
    int resident = 0;
    CUBAR_TRY(best_block(caller, callee, shared_of, shared_bytes, limit, flags, *block, resident));
    const auto& attribute = caller.process->device_facts(caller.context->device).attribute;
    *grid = resident * attribute[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT];
    return CUDA_SUCCESS;
}

CUBAR_API cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function,
                                           CUoccupancyB2DSize shared_of, std::size_t shared_bytes,
                                           int limit) {
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, shared_of, shared_bytes,
                                                     limit, CU_OCCUPANCY_DEFAULT);
}

CUBAR_API cuOccupancyAvailableDynamicSMemPerBlock(std::size_t* out, CUfunction value, int blocks,
                                                  int block_threads) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || blocks <= 0 || block_threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    Callee callee;
    CUBAR_TRY(find_callee(caller, value, callee));
    const OccupancyCache::Key key{callee.facts,
                                  caller.context->device,
                                  Question::kDynamicShared,
                                  0,
                                  block_threads,
                                  static_cast<std::uint64_t>(blocks)};
    if (const auto known = caller.session->occupancy.find(key)) {
        *out = *known;
        return CUDA_SUCCESS;
    }
    using W = wire::cuOccupancyAvailableDynamicSMemPerBlock;
    W::Request request{};
    request.func = callee.function;
    request.numBlocks = blocks;
    request.blockSize = block_threads;
    W::Reply reply{};
    CUBAR_TRY(call_in<W>(caller, caller.context->handle, {}, request, reply));
    *out = reply.dynamicSmemSize;
    caller.session->occupancy.keep(key, *out);
    return CUDA_SUCCESS;
}

CUBAR_API cuOccupancyMaxPotentialClusterSize(int* out, CUfunction function,
                                             const CUlaunchConfig* config) {
    return ask_clusters<wire::cuOccupancyMaxPotentialClusterSize>(out, function, config);
}

CUBAR_API cuOccupancyMaxActiveClusters(int* out, CUfunction function,
                                       const CUlaunchConfig* config) {
    return ask_clusters<wire::cuOccupancyMaxActiveClusters>(out, function, config);
}
