// SPDX-License-Identifier: Apache-2.0
// Cooperative launches: grids whose blocks wait for one another, over and over.
#include <cooperative_groups.h>

#include <numeric>
#include <utility>

#include "conformance.h"

namespace {

namespace cg = cooperative_groups;

constexpr unsigned kThreads = 96;
constexpr unsigned kBlocks = 24;
constexpr unsigned kCount = kBlocks * kThreads;
constexpr int kSteps = 20;

// What a cell becomes depends on one that another block wrote in the step before.
__host__ __device__ unsigned step(unsigned own, unsigned far, int number) {
    return own * 1664525u + (far ^ static_cast<unsigned>(number));
}

__global__ void relay(unsigned* front, unsigned* back, int steps) {
    const auto grid = cg::this_grid();
    const auto mine = static_cast<unsigned>(grid.thread_rank());
    const unsigned far = (mine * 7 + kThreads) % kCount;
    for (int number = 0; number < steps; ++number) {
        back[mine] = step(front[mine], front[far], number);
        grid.sync();
        unsigned* const other = front;
        front = back;
        back = other;
    }
}

std::vector<unsigned> relay_on_host(std::vector<unsigned> front, int steps) {
    std::vector<unsigned> back(front.size());
    for (int number = 0; number < steps; ++number) {
        for (unsigned i = 0; i < kCount; ++i)
            back[i] = step(front[i], front[(i * 7 + kThreads) % kCount], number);
        front.swap(back);
    }
    return front;
}

// The sum of all values, by blocks first; every block then reads what every other one left.
__global__ void total(const unsigned* values, unsigned count, unsigned long long* partial,
                      unsigned long long* out) {
    extern __shared__ unsigned long long share[];
    const auto grid = cg::this_grid();
    const auto block = cg::this_thread_block();
    const unsigned rank = block.thread_rank();
    share[rank] = 0;
    for (auto i = grid.thread_rank(); i < count; i += grid.size()) share[rank] += values[i];
    for (unsigned half = block.size() / 2; half != 0; half /= 2) {
        block.sync();
        if (rank < half) share[rank] += share[rank + half];
    }
    if (rank == 0) partial[grid.block_rank()] = share[0];
    auto token = grid.barrier_arrive();
    grid.barrier_wait(std::move(token));
    if (rank != 0) return;
    unsigned long long sum = 0;
    for (unsigned i = 0; i < grid.num_blocks(); ++i) sum += partial[i];
    out[grid.block_rank()] = sum;
}

__global__ void is_cooperative(int* out) {
    *out = cg::this_grid().is_valid();
}

std::vector<unsigned> random_cells(conformance::Random& random) {
    std::vector<unsigned> cells(kCount);
    for (unsigned& cell : cells) cell = static_cast<unsigned>(random.next());
    return cells;
}

void check_relays(conformance::Random& random) {
    const std::vector<unsigned> start = random_cells(random);
    conformance::DeviceArray<unsigned> front(start), back(kCount);
    unsigned* pointers[] = {front.data(), back.data()};
    int steps = kSteps;
    void* arguments[] = {&pointers[0], &pointers[1], &steps};
    auto* const kernel = reinterpret_cast<const void*>(relay);
    // Twice, so that the second finds the barrier as the first did; an even number of steps ends in
    // the buffer where it began.
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    for (int i = 0; i < 2; ++i)
        CUDA(cudaLaunchCooperativeKernel(kernel, dim3(kBlocks), dim3(kThreads), arguments, 0,
                                         stream));
    CUDA(cudaStreamSynchronize(stream));
    std::vector<unsigned> want = relay_on_host(relay_on_host(start, kSteps), kSteps);
    CHECK(front.host() == want);

    // The same with the attribute, and a grid and a block of three dimensions.
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(2, 3, kBlocks / 6);
    config.blockDim = dim3(kThreads / 6, 3, 2);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    CUDA(cudaLaunchKernelExC(&config, kernel, arguments));
    CUDA(cudaStreamSynchronize(stream));
    want = relay_on_host(std::move(want), kSteps);
    CHECK(front.host() == want);

    // From a graph, twice.
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    CUDA(cudaLaunchCooperativeKernel(kernel, dim3(kBlocks), dim3(kThreads), arguments, 0, stream));
    CUDA(cudaStreamEndCapture(stream, &graph));
    CUDA(cudaGraphInstantiate(&executable, graph, 0));
    for (int i = 0; i < 2; ++i) CUDA(cudaGraphLaunch(executable, stream));
    CUDA(cudaStreamSynchronize(stream));
    want = relay_on_host(relay_on_host(std::move(want), kSteps), kSteps);
    CHECK(front.host() == want);
    CUDA(cudaGraphExecDestroy(executable));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaStreamDestroy(stream));
    conformance::report("relay", want);
}

// As many blocks as the device holds, and then one more.
void check_full_grid(conformance::Random& random) {
    constexpr unsigned kBlock = 128;
    constexpr std::size_t kShared = kBlock * sizeof(unsigned long long);
    auto* const kernel = reinterpret_cast<const void*>(total);
    int resident = 0, processors = 0;
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kBlock, kShared));
    CUDA(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
    const auto blocks = static_cast<unsigned>(resident * processors);
    CHECK(blocks > 0);
    const std::vector<unsigned> cells = random_cells(random);
    const auto want = std::accumulate(cells.begin(), cells.end(), 0ull);
    conformance::DeviceArray<unsigned> values(cells);
    conformance::DeviceArray<unsigned long long> partial(blocks), out(blocks);
    const unsigned* from = values.data();
    unsigned count = kCount;
    unsigned long long *parts = partial.data(), *sums = out.data();
    void* arguments[] = {&from, &count, &parts, &sums};
    CUDA(cudaLaunchCooperativeKernel(kernel, dim3(blocks), dim3(kBlock), arguments, kShared,
                                     nullptr));
    CUDA(cudaDeviceSynchronize());
    const std::vector<unsigned long long> have = out.host();
    for (std::size_t i = 0; i < have.size(); ++i) CHECK_AT(i, have[i], want);
    std::printf("%u blocks agree on %llu\n", blocks, want);

    CUDA_FAILS(cudaLaunchCooperativeKernel(kernel, dim3(blocks + 1), dim3(kBlock), arguments,
                                           kShared, nullptr),
               cudaErrorCooperativeLaunchTooLarge);
    CUDA_FAILS(cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
    // More shared memory each leaves room for fewer.
    CUDA_FAILS(cudaLaunchCooperativeKernel(kernel, dim3(blocks), dim3(kBlock), arguments, 48 << 10,
                                           nullptr),
               cudaErrorCooperativeLaunchTooLarge);
    CUDA_FAILS(cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
    // A grid that no device can have is refused for that.
    CUDA_FAILS(cudaLaunchCooperativeKernel(kernel, dim3(0), dim3(kBlock), arguments, 0, nullptr),
               cudaErrorInvalidConfiguration);
    CUDA_FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
    CUDA_FAILS(cudaLaunchCooperativeKernel(kernel, dim3(1), dim3(2048), arguments, 0, nullptr),
               cudaErrorInvalidConfiguration);
    CUDA_FAILS(cudaGetLastError(), cudaErrorInvalidConfiguration);
    // None of them has left a mark.
    CUDA(cudaLaunchCooperativeKernel(kernel, dim3(1), dim3(kBlock), arguments, kShared, nullptr));
    CUDA(cudaDeviceSynchronize());
    CHECK(out.host()[0] == want);
}

void check_is_valid() {
    conformance::DeviceArray<int> out(1);
    int* pointer = out.data();
    void* arguments[] = {&pointer};
    auto* const kernel = reinterpret_cast<const void*>(is_cooperative);
    CUDA(cudaLaunchCooperativeKernel(kernel, dim3(1), dim3(1), arguments, 0, nullptr));
    CHECK(out.host()[0] == 1);
    is_cooperative<<<1, 1>>>(out.data());
    CHECK(out.host()[0] == 0);
}

}  // namespace

int main() {
    int supported = 0;
    CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
    CHECK(supported == 1);
    conformance::Random random(17);
    check_relays(random);
    check_full_grid(random);
    check_is_valid();
    return 0;
}
