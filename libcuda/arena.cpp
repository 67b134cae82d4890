// SPDX-License-Identifier: Apache-2.0
#include "libcuda/arena.h"

#include "driver/log.h"

namespace cubar::guest {

ArenaBlock::~ArenaBlock() {
    if (session_ != nullptr) session_->channel().arena().free(offset_);
}

ArenaBlock ArenaBlock::allocate(const Caller& caller, std::size_t bytes) {
    transport::Arena& arena = caller.channel().arena();
    for (;;) {
        const std::uint64_t offset = arena.allocate(bytes, kPageBytes);
        if (offset != transport::Arena::kNone) return ArenaBlock(*caller.session, offset, bytes);
        // Another thread may take or return the lease before this one gets its part of it.
        if (!lease_granules(caller, bytes)) return {};
    }
}

bool lease_granules(const Caller& caller, std::size_t bytes) {
    wire::arena_lease::Request request{};
    request.bytes = bytes;
    wire::arena_lease::Reply reply{};
    const CUresult result = call_in<wire::arena_lease>(
        caller, caller.context != nullptr ? caller.context->handle : ContextHandle{}, {}, request,
        reply);
    if (result != CUDA_SUCCESS) {
        CUBAR_LOG(kWarn,
                  "the host has no %zu bytes left in the device's shared memory: give the "
                  "virtual machine a larger BAR",
                  bytes);
        return false;
    }
    const transport::GranuleRun run{static_cast<std::uint32_t>(reply.offset / kGranuleBytes),
                                    static_cast<std::uint32_t>(reply.bytes / kGranuleBytes)};
    const transport::Failure failure = caller.channel().add_granules(run);
    if (!failure) return true;
    CUBAR_LOG(kError, "cannot map shared memory: %s", failure.detail);
    wire::arena_return::Request undo{};
    undo.offset = reply.offset;
    undo.bytes = reply.bytes;
    wire::arena_return::Reply undone{};
    call_in<wire::arena_return>(caller, {}, {}, undo, undone);
    return false;
}

void return_free_granules(const Caller& caller) {
    for (;;) {
        const transport::GranuleRun run = caller.channel().remove_free_granules();
        if (run.count == 0) return;
        wire::arena_return::Request request{};
        request.offset = std::uint64_t{run.first} * kGranuleBytes;
        request.bytes = std::uint64_t{run.count} * kGranuleBytes;
        wire::arena_return::Reply reply{};
        if (call_in<wire::arena_return>(caller, {}, {}, request, reply) != CUDA_SUCCESS) return;
    }
}

}  // namespace cubar::guest
