// SPDX-License-Identifier: Apache-2.0
// Clusters of several blocks on compute capability 9.0: distributed shared memory, the cluster's
// barrier, and what a launch may ask for. Elsewhere that they are refused.
#include <cooperative_groups.h>

#include "conformance.h"

namespace {

namespace cg = cooperative_groups;

constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = 16;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define CLUSTERED(...) __VA_ARGS__
#define IN_FOURS __cluster_dims__(4, 1, 1)
#else
#define CLUSTERED(...)
#define IN_FOURS
#endif

// A histogram whose bins are spread over the blocks of the cluster.
__global__ void histogram(const unsigned* values, unsigned count, unsigned* bins,
                          unsigned per_block){CLUSTERED({
    extern __shared__ unsigned share[];
    const cg::cluster_group cluster = cg::this_cluster();
    for (unsigned i = threadIdx.x; i < per_block; i += blockDim.x) share[i] = 0;
    cluster.sync();
    const unsigned total = per_block * cluster.num_blocks();
    const unsigned first = blockIdx.x * blockDim.x + threadIdx.x;
    for (unsigned i = first; i < count; i += gridDim.x * blockDim.x) {
        const unsigned bin = values[i] % total;
        unsigned* const far = cluster.map_shared_rank(share, bin / per_block);
        atomicAdd(far + bin % per_block, 1u);
    }
    cluster.sync();
    unsigned* const mine = bins + cluster.block_rank() * per_block;
    for (unsigned i = threadIdx.x; i < per_block; i += blockDim.x) atomicAdd(mine + i, share[i]);
})}

// Each block hands its values to the next one of the cluster, all the way round and back.
__global__ void IN_FOURS ring(unsigned* values, unsigned steps){CLUSTERED({
    __shared__ unsigned share[2][kThreads];
    const cg::cluster_group cluster = cg::this_cluster();
    unsigned* const place = values + blockIdx.x * blockDim.x + threadIdx.x;
    unsigned value = *place;
    const unsigned next = (cluster.block_rank() + 1) % cluster.num_blocks();
    for (unsigned step = 0; step < steps; ++step) {
        cluster.map_shared_rank(share[step % 2], next)[threadIdx.x] = value * 3 + step;
        auto token = cluster.barrier_arrive();
        cluster.barrier_wait(std::move(token));
        value = share[step % 2][threadIdx.x];
    }
    *place = value;
    cluster.sync();
})}

// Where a block says that it is.
__global__ void places(uint4* out) {
    CLUSTERED({
        const cg::cluster_group cluster = cg::this_cluster();
        const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
        const dim3 index = cluster.block_index();
        if (threadIdx.x == 0)
            out[block] = {index.x, index.y, cluster.block_rank(),
                          static_cast<unsigned>(cluster.num_threads())};
    })
}

struct Launch {
    cudaLaunchAttribute attribute{};
    cudaLaunchConfig_t config{};

    Launch(dim3 grid, dim3 block, dim3 cluster, std::size_t shared = 0) {
        attribute.id = cudaLaunchAttributeClusterDimension;
        attribute.val.clusterDim = {cluster.x, cluster.y, cluster.z};
        config.gridDim = grid;
        config.blockDim = block;
        config.dynamicSmemBytes = shared;
        config.attrs = &attribute;
        config.numAttrs = 1;
    }
    Launch(const Launch&) = delete;
    Launch& operator=(const Launch&) = delete;
};

void check_histogram(conformance::Random& random) {
    constexpr unsigned kPerBlock = 50;
    std::vector<unsigned> values(20000);
    for (unsigned& value : values) value = random.below(1u << 30);
    const conformance::DeviceArray<unsigned> in(values);
    for (const unsigned size : {1u, 2u, 8u}) {
        std::vector<unsigned> want(size * kPerBlock);
        for (const unsigned value : values) ++want[value % want.size()];
        const conformance::DeviceArray<unsigned> bins(std::vector<unsigned>(want.size()));
        const Launch launch(kBlocks, kThreads, size, kPerBlock * sizeof(unsigned));
        const unsigned* from = in.data();
        CUDA(cudaLaunchKernelEx(&launch.config, histogram, from,
                                static_cast<unsigned>(values.size()), bins.data(), kPerBlock));
        CUDA(cudaDeviceSynchronize());
        CHECK(bins.host() == want);
        conformance::report("histogram", want);
    }
}

void check_ring(conformance::Random& random) {
    constexpr unsigned kSteps = 10;
    std::vector<unsigned> values(kBlocks * kThreads);
    for (unsigned& value : values) value = static_cast<unsigned>(random.next());
    const conformance::DeviceArray<unsigned> device(values);
    ring<<<kBlocks, kThreads>>>(device.data(), kSteps);
    CUDA(cudaGetLastError());
    std::vector<unsigned> want(values.size());
    for (unsigned i = 0; i < want.size(); ++i) {
        const unsigned rank = i / kThreads % 4;
        const unsigned to = (rank + kSteps) % 4;
        unsigned value = values[i];
        for (unsigned step = 0; step < kSteps; ++step) value = value * 3 + step;
        want[i - rank * kThreads + to * kThreads] = value;
    }
    CHECK(device.host() == want);
    conformance::report("ring", want);
}

void check_places() {
    const conformance::DeviceArray<uint4> out(24);
    const Launch launch(dim3(6, 4), 32, dim3(3, 2));
    CUDA(cudaLaunchKernelEx(&launch.config, places, out.data()));
    const std::vector<uint4> have = out.host();
    for (unsigned block = 0; block < 24; ++block) {
        const unsigned x = block % 6 % 3, y = block / 6 % 2;
        CHECK(have[block].x == x && have[block].y == y && have[block].z == y * 3 + x &&
              have[block].w == 6 * 32);
    }
}

void expect_refused(const Launch& launch, cudaError_t error) {
    uint4* none = nullptr;
    CUDA_FAILS(cudaLaunchKernelEx(&launch.config, places, none), error);
    CUDA_FAILS(cudaGetLastError(), error);
}

void check_limits() {
    // A grid that is no whole number of clusters; a cluster larger than every device has.
    expect_refused({10, 32, 4}, cudaErrorInvalidClusterSize);
    expect_refused({dim3(4, 3), 32, dim3(2, 2)}, cudaErrorInvalidClusterSize);
    expect_refused({64, 32, 16}, cudaErrorInvalidClusterSize);
    // Another size than the kernel was built for.
    Launch other(kBlocks, kThreads, 2);
    unsigned* none = nullptr;
    CUDA_FAILS(cudaLaunchKernelEx(&other.config, ring, none, 1u), cudaErrorInvalidClusterSize);
    CUDA_FAILS(cudaGetLastError(), cudaErrorInvalidClusterSize);

    const Launch launch(kBlocks, kThreads, 4);
    int size = 0, four = 0, eight = 0;
    CUDA(cudaOccupancyMaxPotentialClusterSize(&size, places, &launch.config));
    CHECK(size >= 8);
    CUDA(cudaOccupancyMaxActiveClusters(&four, places, &launch.config));
    const Launch larger(kBlocks, kThreads, 8);
    CUDA(cudaOccupancyMaxActiveClusters(&eight, places, &larger.config));
    CHECK(eight >= 1 && four >= 2 * eight);
    const Launch crowded(kBlocks, kThreads, 4, 48 << 10);
    int few = 0;
    CUDA(cudaOccupancyMaxActiveClusters(&few, places, &crowded.config));
    CHECK(few >= 1 && few < four);
    cudaFuncAttributes attributes;
    CUDA(cudaFuncGetAttributes(&attributes, ring));
    CHECK(attributes.requiredClusterWidth == 4 && attributes.requiredClusterHeight == 1);

    // Sixteen blocks only for kernels that forgo the devices that cannot.
    CUDA(cudaFuncSetAttribute(places, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    const conformance::DeviceArray<uint4> out(32);
    const Launch sixteen(32, 32, 16);
    CUDA(cudaLaunchKernelEx(&sixteen.config, places, out.data()));
    CHECK(out.host()[31].z == 15);
    expect_refused({64, 32, 32}, cudaErrorInvalidClusterSize);
}

}  // namespace

int main() {
    int supported = 0;
    CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrClusterLaunch, 0));
    if (supported == 0) {
        expect_refused({8, 32, 2}, cudaErrorNotSupported);
        std::printf("no clusters here, and no launch that has some\n");
        return 0;
    }
    conformance::Random random(29);
    check_histogram(random);
    check_ring(random);
    check_places();
    check_limits();
    return 0;
}
