// SPDX-License-Identifier: Apache-2.0
// Asynchronous copies and mbarriers of compute capability 9.0, by libcu++'s names for instructions.
#include <cuda/barrier>
#include <cuda/ptx>

namespace {

namespace ptx = cuda::ptx;

template <typename Scope>
__device__ uint64_t arrivals(uint64_t* bar, Scope scope) {
    uint64_t state = ptx::mbarrier_arrive(ptx::sem_release, scope, ptx::space_shared, bar);
    state += ptx::mbarrier_arrive(ptx::sem_release, scope, ptx::space_shared, bar, 2u);
    state += ptx::mbarrier_arrive(ptx::sem_relaxed, scope, ptx::space_shared, bar, 2u);
    state += ptx::mbarrier_arrive_expect_tx(ptx::sem_release, scope, ptx::space_shared, bar, 64u);
    ptx::mbarrier_expect_tx(ptx::sem_relaxed, scope, ptx::space_shared, bar, 64u);
    state += ptx::mbarrier_test_wait(ptx::sem_acquire, scope, bar, state);
    state += ptx::mbarrier_try_wait(ptx::sem_acquire, scope, bar, state);
    state += ptx::mbarrier_try_wait(ptx::sem_acquire, scope, bar, state, 1000u);
    state += ptx::mbarrier_test_wait_parity(ptx::sem_acquire, scope, bar, 1u);
    state += ptx::mbarrier_try_wait_parity(ptx::sem_acquire, scope, bar, 1u);
    state += ptx::mbarrier_try_wait_parity(ptx::sem_acquire, scope, bar, 1u, 1000u);
    return state;
}

__global__ void barriers(uint64_t* out) {
    __shared__ uint64_t bar;
    ptx::mbarrier_init(&bar, blockDim.x);
    ptx::fence_mbarrier_init(ptx::sem_release, ptx::scope_cluster);
    *out = arrivals(&bar, ptx::scope_cta) + arrivals(&bar, ptx::scope_cluster);
    *out += ptx::mbarrier_arrive_no_complete(&bar, 1u);
    ptx::mbarrier_arrive(ptx::sem_release, ptx::scope_cluster, ptx::space_cluster, &bar);
    ptx::mbarrier_arrive(ptx::sem_release, ptx::scope_cluster, ptx::space_cluster, &bar, 2u);
    ptx::mbarrier_arrive_expect_tx(ptx::sem_release, ptx::scope_cluster, ptx::space_cluster, &bar,
                                   2u);
}

__global__ void copies(char* far, uint64_t* out) {
    __shared__ alignas(16) char near[1024];
    __shared__ uint64_t bar;
    ptx::cp_async_bulk(ptx::space_cluster, ptx::space_global, near, far, 256u, &bar);
    ptx::cp_async_bulk(ptx::space_cluster, ptx::space_shared, near + 256, near, 256u, &bar);
    ptx::cp_async_bulk(ptx::space_global, ptx::space_shared, far, near, 256u);
    ptx::cp_async_bulk_commit_group();
    ptx::cp_async_bulk_wait_group_read(ptx::n32_t<1>());
    ptx::cp_async_bulk_wait_group(ptx::n32_t<0>());
    ptx::fence_proxy_async();
    ptx::fence_proxy_async(ptx::space_shared);
    ptx::fence_proxy_async(ptx::space_global);
    ptx::fence_proxy_alias();
    *out = bar;
}

__global__ void remote(int* out) {
    __shared__ alignas(16) int words[32];
    __shared__ uint64_t bar;
    ptx::st_async(words, 3, &bar);
    ptx::st_async((int64_t*)words, (int64_t)3, &bar);
    const int pair[2] = {1, 2};
    const int four[4] = {1, 2, 3, 4};
    ptx::st_async(words, pair, &bar);
    ptx::st_async(words, four, &bar);
    auto* const unsigned_words = (uint32_t*)words;
    ptx::red_async(ptx::op_inc, unsigned_words, 3u, &bar);
    ptx::red_async(ptx::op_dec, unsigned_words, 3u, &bar);
    ptx::red_async(ptx::op_min, words, 3, &bar);
    ptx::red_async(ptx::op_max, unsigned_words, 3u, &bar);
    ptx::red_async(ptx::op_add, unsigned_words, 3u, &bar);
    ptx::red_async(ptx::op_and_op, unsigned_words, 3u, &bar);
    ptx::red_async(ptx::op_add, (uint64_t*)words, (uint64_t)3, &bar);
    *out = ptx::getctarank(ptx::space_cluster, words);
}

__global__ void orders(uint64_t* out) {
    ptx::barrier_cluster_arrive(ptx::sem_release);
    ptx::barrier_cluster_wait(ptx::sem_acquire);
    ptx::barrier_cluster_arrive(ptx::sem_relaxed);
    ptx::barrier_cluster_wait();
    ptx::fence(ptx::sem_acq_rel, ptx::scope_cluster);
    ptx::fence(ptx::sem_sc, ptx::scope_cta);
    ptx::fence(ptx::sem_sc, ptx::scope_sys);
    ptx::fence_proxy_tensormap_generic(ptx::sem_release, ptx::scope_gpu);
    *out = ptx::get_sreg_clusterid_x() + ptx::get_sreg_nclusterid_y() +
           ptx::get_sreg_cluster_ctaid_x() + ptx::get_sreg_cluster_nctaid_z() +
           ptx::get_sreg_cluster_ctarank() + ptx::get_sreg_cluster_nctarank() +
           ptx::get_sreg_is_explicit_cluster() + ptx::get_sreg_aggr_smem_size() +
           ptx::get_sreg_total_smem_size() + ptx::get_sreg_dynamic_smem_size() +
           ptx::get_sreg_globaltimer() + ptx::get_sreg_clock64() + ptx::get_sreg_gridid() +
           ptx::get_sreg_lanemask_lt() + ptx::get_sreg_nsmid() + ptx::get_sreg_warpid();
}
}  // namespace
