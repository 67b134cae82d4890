// SPDX-License-Identifier: Apache-2.0
// What cooperative groups offer: partitions, reductions, scans, copies, barriers, clusters.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include <cuda/pipeline>

namespace {

namespace cg = cooperative_groups;

template <typename T, typename Group>
__device__ T reductions(const Group& group, T value) {
    value = cg::reduce(group, value, cg::plus<T>());
    value = cg::reduce(group, value, cg::less<T>());
    value = cg::reduce(group, value, cg::greater<T>());
    return value;
}

template <typename T, typename Group>
__device__ T whole_numbers(const Group& group, T value) {
    value = reductions(group, value);
    value = cg::reduce(group, value, cg::bit_and<T>());
    value = cg::reduce(group, value, cg::bit_or<T>());
    value = cg::reduce(group, value, cg::bit_xor<T>());
    value = cg::inclusive_scan(group, value, cg::plus<T>());
    return cg::exclusive_scan(group, value);
}

template <typename Group>
__device__ int tile(const Group& group, int value) {
    value = whole_numbers<int>(group, value) + whole_numbers<unsigned>(group, value) +
            static_cast<int>(whole_numbers<long long>(group, value)) +
            static_cast<int>(reductions<float>(group, value)) +
            static_cast<int>(reductions<double>(group, value));
    value += group.shfl(value, 1) + group.shfl_down(value, 1) + group.shfl_up(value, 1) +
             group.shfl_xor(value, 1) + group.any(value) + group.all(value) + group.ballot(value) +
             group.match_any(value) + group.thread_rank() + group.meta_group_rank();
    int same = 0;
    value += group.match_all(value, same) + same;
    group.sync();
    return value;
}

__global__ void tiles(int* values) {
    const auto block = cg::this_thread_block();
    int value = values[block.thread_rank()];
    value += tile(cg::tiled_partition<32>(block), value);
    value += tile(cg::tiled_partition<16>(block), value);
    value += tile(cg::tiled_partition<4>(cg::tiled_partition<8>(block)), value);
    value += tile(cg::tiled_partition<1>(block), value);
    values[block.thread_rank()] = value;
}

__global__ void parts(int* values) {
    const auto block = cg::this_thread_block();
    const auto warp = cg::tiled_partition<32>(block);
    int value = values[block.thread_rank()];
    if (value > 3) {
        const auto active = cg::coalesced_threads();
        value += whole_numbers<int>(active, value) + active.shfl(value, 0) + active.ballot(value);
        value += cg::labeled_partition(active, value & 3).size();
    }
    value += cg::binary_partition(warp, value & 1).thread_rank();
    value += cg::invoke_one_broadcast(warp, [&] { return values[0]; });
    cg::invoke_one(block, [&] { values[1] = value; });
    auto token = block.barrier_arrive();
    block.barrier_wait(std::move(token));
    const auto eight = cg::tiled_partition(block, 8);
    eight.sync();
    value += eight.thread_rank();
    values[block.thread_rank()] = value;
}

__global__ void large_tiles(int* values) {
    __shared__ cg::block_tile_memory<256> memory;
    const auto block = cg::this_thread_block(memory);
    const auto tile = cg::tiled_partition<128>(block);
    int value = cg::reduce(tile, values[block.thread_rank()], cg::plus<int>());
    value += tile.shfl(value, 7) + tile.any(value);
    value = cg::inclusive_scan(tile, value, cg::plus<int>());
    tile.sync();
    values[block.thread_rank()] = value;
}

__global__ void grid(int* values) {
    const auto grid = cg::this_grid();
    values[grid.thread_rank()] = grid.block_rank() + grid.is_valid();
    grid.sync();
    auto token = grid.barrier_arrive();
    grid.barrier_wait(std::move(token));
}

__global__ void copies(const int* from, int* to) {
    extern __shared__ __align__(16) int tile_memory[];
    __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
    __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> stages;
    const auto block = cg::this_thread_block();
    if (block.thread_rank() == 0) init(&barrier, block.size());
    block.sync();
    cg::memcpy_async(block, tile_memory, from, sizeof(int) * block.size());
    cg::wait_prior<1>(block);
    cg::wait(block);
    cuda::memcpy_async(block, tile_memory, from, cuda::aligned_size_t<16>(1024), barrier);
    cuda::memcpy_async(tile_memory + threadIdx.x, from + threadIdx.x, sizeof(int), barrier);
    barrier.arrive_and_wait();
    auto own = cuda::make_pipeline();
    own.producer_acquire();
    cuda::memcpy_async(tile_memory + threadIdx.x, from + threadIdx.x, sizeof(int), own);
    own.producer_commit();
    cuda::pipeline_consumer_wait_prior<0>(own);
    own.consumer_release();
    auto shared = cuda::make_pipeline(block, &stages);
    shared.producer_acquire();
    cuda::memcpy_async(block, tile_memory, from, 256, shared);
    shared.producer_commit();
    shared.consumer_wait();
    shared.consumer_release();
    to[block.thread_rank()] = tile_memory[block.thread_rank()];
}

#if __CUDA_ARCH__ >= 900
__global__ void __cluster_dims__(2, 1, 1) clusters(int* values) {
    __shared__ int share[32];
    const auto cluster = cg::this_cluster();
    const auto block = cg::this_thread_block();
    share[block.thread_rank()] = values[cluster.thread_rank()];
    cluster.sync();
    int* const other = cluster.map_shared_rank(share, cluster.block_rank() ^ 1);
    int value = other[block.thread_rank()] + cluster.query_shared_rank(other);
    atomicAdd(other, value);
    auto token = cluster.barrier_arrive();
    cluster.barrier_wait(std::move(token));
    value += cluster.num_blocks() + cluster.dim_threads().x + cluster.block_index().x +
             cluster.dim_blocks().y + __isClusterShared(other);
    if (block.thread_rank() == 0) values[cluster.thread_rank()] = value;
    values[0] += __clusterRelativeBlockRank() + __clusterSizeInBlocks() +
                 __clusterGridDimInClusters().x + __clusterIdx().x + __clusterDimIsSpecified();
    __cluster_barrier_arrive_relaxed();
    __cluster_barrier_wait();
}

__global__ void dependent(int* values) {
    cudaGridDependencySynchronize();
    values[threadIdx.x] += 1;
    cudaTriggerProgrammaticLaunchCompletion();
}
#endif

}  // namespace
