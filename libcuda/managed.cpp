// SPDX-License-Identifier: Apache-2.0
// Managed memory is pinned memory by another name: it lies in the arena, at the same address in
// guest and worker, and both sides work on it coherently without migrating it. Where the guest does
// not map BAR2 write-back there is none, and the attribute says so. __managed__ variables are not
// remoted: their storage is the driver's, which the guest cannot map.
#include "libcuda/pinned.h"

using namespace cubar::guest;

namespace {

constexpr unsigned kAttachFlags = CU_MEM_ATTACH_GLOBAL | CU_MEM_ATTACH_HOST | CU_MEM_ATTACH_SINGLE;

CUresult find_managed(CUdeviceptr address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    const auto range = caller.session->addresses.find(address);
    return range && range->kind == MemoryKind::kManaged ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/// What CUDA answers where CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS is 0: nothing migrates.
CUresult cannot_migrate(CUdeviceptr address) {
    CUBAR_TRY(find_managed(address));
    return CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace

CUBAR_API cuMemAllocManaged(CUdeviceptr* out, std::size_t bytes, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || bytes == 0 ||
        (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!zero_copy(caller)) return CUDA_ERROR_NOT_SUPPORTED;
    void* memory = nullptr;
    CUBAR_TRY(allocate_shared(caller, bytes, MemoryKind::kManaged, flags, memory));
    *out = reinterpret_cast<CUdeviceptr>(memory);
    return CUDA_SUCCESS;
}

// Attaching narrows who may use the memory when; everybody may here, at all times.
CUBAR_API cuStreamAttachMemAsync(CUstream value, CUdeviceptr address, std::size_t,
                                 unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    if ((flags & ~kAttachFlags) != 0 || !std::has_single_bit(flags))
        return CUDA_ERROR_INVALID_VALUE;
    return find_managed(address);
}

CUBAR_API cuMemPrefetchAsync(CUdeviceptr address, std::size_t, CUdevice, CUstream) {
    return cannot_migrate(address);
}
CUBAR_API cuMemPrefetchAsync_v2(CUdeviceptr address, std::size_t, CUmemLocation, unsigned int,
                                CUstream) {
    return cannot_migrate(address);
}
CUBAR_API cuMemAdvise(CUdeviceptr address, std::size_t, CUmem_advise, CUdevice) {
    return cannot_migrate(address);
}
CUBAR_API cuMemAdvise_v2(CUdeviceptr address, std::size_t, CUmem_advise, CUmemLocation) {
    return cannot_migrate(address);
}
