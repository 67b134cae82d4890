// SPDX-License-Identifier: Apache-2.0
// Virtual memory and pools: what the worker counts, and when memory comes back.
#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

constexpr std::size_t kBytes = std::size_t{64} << 20;

cuuint64_t get(CUmemoryPool pool, CUmemPool_attribute attribute) {
    cuuint64_t value = 0;
    MUST(cu().cuMemPoolGetAttribute(pool, attribute, &value));
    return value;
}

CUmemoryPool current_pool(const Context& context) {
    CUmemoryPool pool = nullptr;
    MUST(cu().cuDeviceGetMemPool(&pool, context.device()));
    return pool;
}

void pool_counts(Report& report) {
    const Context context;
    const CUmemoryPool pool = current_pool(context);
    CUdeviceptr memory = 0;
    MUST(cu().cuMemAllocFromPoolAsync(&memory, kBytes, pool, nullptr));
    const cuuint64_t reserved = get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
    const cuuint64_t used = get(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
    report.expect(used == kBytes && reserved >= kBytes,
                  "after an allocation of " + std::to_string(kBytes) + " bytes " +
                      std::to_string(used) + " are in use and " + std::to_string(reserved) +
                      " reserved");
    MUST(cu().cuMemFreeAsync(memory, nullptr));
    MUST(cu().cuCtxSynchronize());
}

void pool_gives_back(Report& report) {
    const Context context;
    const CUmemoryPool pool = current_pool(context);
    CUdeviceptr memory = 0;
    MUST(cu().cuMemAllocAsync(&memory, kBytes, nullptr));
    MUST(cu().cuMemFreeAsync(memory, nullptr));
    MUST(cu().cuStreamSynchronize(nullptr));
    const cuuint64_t reserved = get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
    report.expect(reserved == 0, std::to_string(reserved) + " bytes are reserved after the wait");
}

void mapping_keeps_memory(Report& report) {
    const Context context;
    CUmemAllocationProp asked = {};
    asked.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    asked.location = {CU_MEM_LOCATION_TYPE_DEVICE, context.device()};
    std::size_t piece = 0;
    MUST(cu().cuMemGetAllocationGranularity(&piece, &asked, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    CUdeviceptr base = 0;
    MUST(cu().cuMemAddressReserve(&base, 2 * piece, 0, 0, 0));
    CUmemGenericAllocationHandle handle = 0;
    CUmemAccessDesc access = {asked.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    for (std::size_t i = 0; i < 2; ++i) {
        MUST(cu().cuMemCreate(&handle, piece, &asked, 0));
        MUST(cu().cuMemMap(base + i * piece, piece, 0, handle, 0));
        MUST(cu().cuMemRelease(handle));
    }
    MUST(cu().cuMemSetAccess(base, 2 * piece, &access, 1));
    const CUresult filled = cu().cuMemsetD8Async(base + piece - 8, 1, 16, nullptr);
    MUST(cu().cuCtxSynchronize());
    report.expect(filled == CUDA_SUCCESS, "a memset across two mappings: " + name_of(filled));
    CUmemGenericAllocationHandle again = 0;
    MUST(cu().cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(base + piece)));
    report.expect(again == handle, "a mapping names its memory by the released handle");
    const CUresult half = cu().cuMemUnmap(base, piece / 2);
    report.expect(half == CUDA_ERROR_INVALID_VALUE, "a half is unmapped: " + name_of(half));
    const CUresult both = cu().cuMemUnmap(base, 2 * piece);
    report.expect(both == CUDA_SUCCESS, "two mappings are unmapped at once: " + name_of(both));
    MUST(cu().cuMemRelease(again));
    MUST(cu().cuMemAddressFree(base, 2 * piece));
}

constexpr Probe kProbes[] = {
    {"pool_counts", Asked::kEverywhere,
     "what a pool has in use and has reserved is known as soon as an allocation returns",
     "The ledger counts ... a pool by what it reserves", pool_counts},
    {"pool_gives_back", Asked::kEverywhere,
     "what was freed in a stream's order is given back when the stream is waited for",
     "a driver gives back what its pools need not keep only when it is waited for itself",
     pool_gives_back},
    {"mapping_keeps_memory", Asked::kEverywhere,
     "a mapping keeps memory whose handle was released, and several are unmapped at once",
     "The ledger counts physical memory ... until its last handle and its last mapping are gone",
     mapping_keeps_memory},
};

}  // namespace

std::span<const Probe> pool_probes() {
    return kProbes;
}

}  // namespace cubar::probe
