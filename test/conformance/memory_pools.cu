// SPDX-License-Identifier: Apache-2.0
// Stream-ordered allocation: memory between two operations of a stream, pools that keep it for
// later and give it back when they are waited for; and what is refused.
#include <limits>

#include "driver_api.h"

namespace {

constexpr unsigned kCount = 100000;
constexpr cuuint64_t kKeepAll = std::numeric_limits<cuuint64_t>::max();

__global__ void add(unsigned* values, unsigned count, unsigned amount) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) values[i] += amount;
}

cuuint64_t get(CUmemoryPool pool, CUmemPool_attribute attribute) {
    cuuint64_t value = 0;
    DRIVER(cuMemPoolGetAttribute(pool, attribute, &value));
    return value;
}

/// Allocated, used, copied out and freed, all in one stream and without a wait in between.
void one_stream() {
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    std::vector<unsigned> sums(16);
    for (unsigned round = 0; round < sums.size(); ++round) {
        unsigned* values = nullptr;
        const unsigned count = kCount >> round % 4;
        CUDA(cudaMallocAsync(&values, count * sizeof(unsigned), stream));
        CUDA(cudaMemsetAsync(values, 0, count * sizeof(unsigned), stream));
        for (unsigned i = 1; i <= 3; ++i)
            add<<<(count + 255) / 256, 256, 0, stream>>>(values, count, i * round);
        CUDA(cudaMemcpyAsync(&sums[round], values + count - 1, sizeof(unsigned),
                             cudaMemcpyDeviceToHost, stream));
        CUDA(cudaFreeAsync(values, stream));
    }
    CUDA(cudaStreamSynchronize(stream));
    for (unsigned round = 0; round < sums.size(); ++round) CHECK_AT(round, sums[round], 6 * round);
    conformance::report("one stream", sums);
    CUDA(cudaStreamDestroy(stream));
}

/// Freed in one stream after an event of another; a plain free; the per-thread default stream.
void several_streams() {
    cudaStream_t first, second;
    cudaEvent_t event;
    CUDA(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    CUDA(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    unsigned* values = nullptr;
    std::vector<unsigned> result(kCount);
    CUDA(cudaMallocAsync(&values, kCount * sizeof(unsigned), first));
    CUDA(cudaMemsetAsync(values, 0, kCount * sizeof(unsigned), first));
    CUDA(cudaEventRecord(event, first));
    CUDA(cudaStreamWaitEvent(second, event));
    add<<<(kCount + 255) / 256, 256, 0, second>>>(values, kCount, 17);
    CUDA(cudaMemcpyAsync(result.data(), values, kCount * sizeof(unsigned), cudaMemcpyDeviceToHost,
                         second));
    CUDA(cudaFreeAsync(values, second));
    CUDA(cudaEventRecord(event, second));
    CUDA(cudaEventSynchronize(event));
    CHECK(result == std::vector<unsigned>(kCount, 17));
    CUDA(cudaMallocAsync(&values, 1000, cudaStreamPerThread));
    CUDA(cudaStreamSynchronize(cudaStreamPerThread));
    CUDA(cudaMemset(values, 1, 1000));
    CUDA(cudaFree(values));
    CUDA(cudaMallocAsync(&values, 1000, nullptr));
    add<<<1, 250>>>(values, 250, 1);
    CUDA(cudaFreeAsync(values, nullptr));
    CUDA(cudaDeviceSynchronize());
    CUDA(cudaStreamDestroy(first));
    CUDA(cudaStreamDestroy(second));
    std::printf("several streams: in order\n");
}

/// What a pool keeps, and when it gives that back.
void thresholds(CUdevice device) {
    CUmemPoolProps properties = {};
    properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    CUmemoryPool pool = nullptr;
    DRIVER(cuMemPoolCreate(&pool, &properties));
    CUstream stream = nullptr;
    DRIVER(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    constexpr std::size_t kBytes = std::size_t{64} << 20;
    std::size_t before = 0, held = 0, after = 0, total = 0;
    CUdeviceptr memory = 0, again = 0;

    CHECK(get(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) == 0);
    DRIVER(cuMemGetInfo(&before, &total));
    DRIVER(cuMemAllocFromPoolAsync(&memory, kBytes, pool, stream));
    DRIVER(cuMemGetInfo(&held, &total));
    CHECK(before - held >= kBytes);
    CHECK(get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) >= kBytes);
    CHECK(get(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == kBytes);
    DRIVER(cuMemFreeAsync(memory, stream));
    DRIVER(cuStreamSynchronize(stream));
    CHECK(get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 0);
    CHECK(get(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 0);
    CHECK(get(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) == kBytes);
    DRIVER(cuMemGetInfo(&after, &total));
    CHECK(after >= held + kBytes);

    cuuint64_t keep = kKeepAll;
    DRIVER(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
    CHECK(get(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) == kKeepAll);
    DRIVER(cuMemAllocFromPoolAsync(&memory, kBytes, pool, stream));
    DRIVER(cuMemFreeAsync(memory, stream));
    DRIVER(cuMemAllocFromPoolAsync(&again, kBytes, pool, stream));
    CHECK(again == memory);  // freed before in this stream
    DRIVER(cuMemFreeAsync(again, stream));
    DRIVER(cuCtxSynchronize());
    CHECK(get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) >= kBytes);
    DRIVER(cuMemPoolTrimTo(pool, 0));
    CHECK(get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 0);

    cuuint64_t zero = 0, one = 1;
    DRIVER(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &zero));
    CHECK(get(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 0);
    DRIVER_FAILS(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &one),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &zero),
                 CUDA_ERROR_INVALID_VALUE);
    int reuse = 0;
    DRIVER(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse));
    CHECK(reuse == 1);
    reuse = 0;
    DRIVER(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse));
    reuse = 1;
    DRIVER(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &reuse));
    CHECK(reuse == 0);
    DRIVER(cuStreamDestroy(stream));
    DRIVER(cuMemPoolDestroy(pool));
    std::printf("thresholds: kept and given back\n");
}

/// A device's default pool and its current one.
void pools_of(CUdevice device) {
    CUmemPoolProps properties = {};
    properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    CUmemoryPool standard = nullptr, current = nullptr, pool = nullptr, source = nullptr;
    DRIVER(cuDeviceGetDefaultMemPool(&standard, device));
    DRIVER(cuDeviceGetMemPool(&current, device));
    CHECK(standard != nullptr && current == standard);
    DRIVER(cuMemPoolCreate(&pool, &properties));
    DRIVER(cuDeviceSetMemPool(device, pool));
    DRIVER(cuDeviceGetMemPool(&current, device));
    CHECK(current == pool);
    CUdeviceptr memory = 0;
    DRIVER(cuMemAllocAsync(&memory, 1000, nullptr));
    DRIVER(cuPointerGetAttribute(&source, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, memory));
    CHECK(source == pool);
    unsigned type = 0;
    DRIVER(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory + 500));
    CHECK(type == CU_MEMORYTYPE_DEVICE);
    CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
    DRIVER(cuMemPoolGetAccess(&flags, pool, &properties.location));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    // A pool that is destroyed lives as long as its memory.
    DRIVER(cuMemPoolDestroy(pool));
    DRIVER(cuDeviceGetMemPool(&current, device));
    CHECK(current == standard);
    DRIVER(cuMemsetD8Async(memory, 1, 1000, nullptr));
    DRIVER(cuMemFreeAsync(memory, nullptr));
    DRIVER(cuCtxSynchronize());

    DRIVER_FAILS(cuMemPoolDestroy(standard), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuDeviceGetMemPool(&current, 999), CUDA_ERROR_INVALID_DEVICE);
    DRIVER_FAILS(cuMemAllocAsync(nullptr, 100, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuMemAllocAsync(&memory, std::size_t{1} << 44, nullptr), CUDA_ERROR_OUT_OF_MEMORY);
    int local = 0;
    DRIVER_FAILS(cuMemFreeAsync(reinterpret_cast<CUdeviceptr>(&local), nullptr),
                 CUDA_ERROR_INVALID_VALUE);
    std::printf("pools: default and current\n");
}

/// More than all memory in sum, in turns with plain allocations: what pools keep is there for all.
void pressure(CUdevice device) {
    CUmemoryPool pool = nullptr;
    DRIVER(cuDeviceGetDefaultMemPool(&pool, device));
    cuuint64_t keep = kKeepAll;
    DRIVER(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
    std::size_t free = 0, total = 0;
    DRIVER(cuMemGetInfo(&free, &total));
    const std::size_t most = free / 4 * 3;
    CUdeviceptr memory = 0;
    for (int turn = 0; turn < 3; ++turn) {
        DRIVER(cuMemAllocAsync(&memory, most, nullptr));
        DRIVER(cuMemFreeAsync(memory, nullptr));
        DRIVER(cuCtxSynchronize());
        DRIVER(cuMemAlloc(&memory, most));
        DRIVER(cuMemFree(memory));
    }
    keep = 0;
    DRIVER(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
    DRIVER(cuMemPoolTrimTo(pool, 0));
    std::printf("pressure: shared\n");
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    int supported = 0;
    DRIVER(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED,
                                context.device()));
    CHECK(supported == 1);
    one_stream();
    several_streams();
    thresholds(context.device());
    pools_of(context.device());
    pressure(context.device());
    return 0;
}
