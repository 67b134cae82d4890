// SPDX-License-Identifier: Apache-2.0
// Page-locked host memory. Where the guest maps BAR2 write-back it lies in the arena, at the same
// address on both sides: the GPU works on it and nothing is copied. Elsewhere plain loads from the
// BAR would cost a microsecond each, so it is guest memory whose copies are staged.
#include "libcuda/pinned.h"

#include <cstdlib>

#include "libcuda/arena.h"
#include "libcuda/capture_rules.h"
#include "libcuda/context.h"
#include "libcuda/copy.h"
#include "libcuda/own_memory.h"

namespace cubar::guest {
namespace {

constexpr unsigned kAllocFlags =
    CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
constexpr unsigned kRegisterFlags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                    CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;

void remember(const Caller& caller, const void* memory, std::size_t bytes, MemoryKind kind,
              unsigned flags) {
    MemoryRange range;
    range.begin = reinterpret_cast<std::uint64_t>(memory);
    range.bytes = bytes;
    range.kind = kind;
    range.context = caller.context->handle;
    range.device = caller.context->device;
    range.flags = flags;
    caller.session->addresses.add(range);
}

CUresult allocate_staged(const Caller& caller, std::size_t bytes, unsigned flags, void*& out) {
    out = nullptr;
    if (posix_memalign(&out, kPageBytes, bytes) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
    remember(caller, out, bytes, MemoryKind::kStaged, flags);
    return CUDA_SUCCESS;
}

}  // namespace

bool zero_copy(const Caller& caller) {
    return caller.channel().memory_type() == transport::MemoryType::kWriteBack;
}

CUresult allocate_shared(const Caller& caller, std::size_t bytes, MemoryKind kind, unsigned flags,
                         void*& out) {
    if (!prepare_staging(caller)) return CUDA_ERROR_OUT_OF_MEMORY;
    ArenaBlock block = ArenaBlock::allocate(caller, bytes);
    if (!block) return CUDA_ERROR_OUT_OF_MEMORY;
    out = block.data();
    block.release();
    remember(caller, out, bytes, kind, flags);
    return CUDA_SUCCESS;
}

CUresult free_shared(const Caller& caller, const MemoryRange& range) {
    if (Context* context = caller.session->contexts.find(range.context); context != nullptr) {
        CUBAR_TRY(synchronize_context(caller, *context));
    }
    if (!caller.session->addresses.remove(range.begin)) return CUDA_ERROR_INVALID_VALUE;
    free_pinned(*caller.session, range);
    return_free_granules(caller);
    return CUDA_SUCCESS;
}

void free_pinned(Session& session, const MemoryRange& range) {
    transport::Channel& channel = session.channel();
    channel.arena().free(range.begin - reinterpret_cast<std::uint64_t>(channel.arena_base()));
}

}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuMemHostAlloc(void** out, std::size_t bytes, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (out == nullptr || bytes == 0 || (flags & ~kAllocFlags) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return zero_copy(caller) ? allocate_shared(caller, bytes, MemoryKind::kPinned, flags, *out)
                             : allocate_staged(caller, bytes, flags, *out);
}

CUBAR_API cuMemAllocHost_v2(void** out, std::size_t bytes) {
    return cuMemHostAlloc(out, bytes, 0);
}

CUBAR_API cuMemFreeHost(void* address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (address == nullptr) return CUDA_SUCCESS;
    const auto begin = reinterpret_cast<std::uint64_t>(address);
    const auto range = caller.session->addresses.find(begin);
    if (!range || range->begin != begin ||
        (range->kind != MemoryKind::kPinned && range->kind != MemoryKind::kStaged)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // As CUDA's free: work that may still use the memory comes to its end first.
    if (range->kind == MemoryKind::kPinned) return free_shared(caller, *range);
    if (!caller.session->addresses.remove(begin)) return CUDA_ERROR_INVALID_VALUE;
    std::free(address);
    return CUDA_SUCCESS;
}

CUBAR_API cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* address, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const auto wanted = reinterpret_cast<std::uint64_t>(address);
    const auto range = caller.session->addresses.find(wanted);
    if (!range || range->on_device()) return CUDA_ERROR_INVALID_VALUE;
    if (range->kind != MemoryKind::kPinned) return CUDA_ERROR_NOT_SUPPORTED;
    *out = wanted;
    return CUDA_SUCCESS;
}

CUBAR_API cuMemHostGetFlags(unsigned int* flags, void* address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto range = caller.session->addresses.find(reinterpret_cast<std::uint64_t>(address));
    if (!range || range->on_device()) return CUDA_ERROR_INVALID_VALUE;
    *flags = range->flags;
    // Under unified addressing all of it is mapped where any of it can be.
    if (range->kind == MemoryKind::kPinned) *flags |= CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}

// Ordinary memory stays ordinary: copies of it go through staging as for any other, which is right
// and a little slower. The GPU does not reach it, and whoever asks for that is refused.
CUBAR_API cuMemHostRegister_v2(void* address, std::size_t bytes, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (address == nullptr || bytes == 0 || (flags & ~kRegisterFlags) != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if ((flags & (CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_IOMEMORY)) != 0) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (!is_mapped({static_cast<const std::byte*>(address), bytes})) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    MemoryRange range;
    range.begin = reinterpret_cast<std::uint64_t>(address);
    range.bytes = bytes;
    range.kind = MemoryKind::kRegistered;
    range.context = caller.context->handle;
    range.device = caller.context->device;
    range.flags = flags;
    return caller.session->addresses.add_apart(range) ? CUDA_SUCCESS
                                                      : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}

CUBAR_API cuMemHostRegister(void* address, std::size_t bytes, unsigned int flags) {
    return cuMemHostRegister_v2(address, bytes, flags);
}

CUBAR_API cuMemHostUnregister(void* address) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (address == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto begin = reinterpret_cast<std::uint64_t>(address);
    const auto range = caller.session->addresses.find(begin);
    if (!range || range->begin != begin || range->kind != MemoryKind::kRegistered) {
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    }
    caller.session->addresses.remove(begin);
    return CUDA_SUCCESS;
}
