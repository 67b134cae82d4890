// SPDX-License-Identifier: Apache-2.0
#include "driver/log.h"
#include "libcuda/arena.h"
#include "libcuda/copy.h"

namespace cubar::guest {
namespace {

auto arena_for_staging(const Caller& caller) {
    return [&caller](std::size_t bytes, std::uint64_t& offset) {
        ArenaBlock block = ArenaBlock::allocate(caller, bytes);
        if (!block) return false;
        offset = block.release();
        return true;
    };
}

}  // namespace

bool prepare_staging(const Caller& caller) {
    return caller.session->staging.prepare(arena_for_staging(caller));
}

CUresult StagedCopy::prepare() {
    if (loan_) return CUDA_SUCCESS;
    loan_.replace(caller_.session->staging.borrow(arena_for_staging(caller_)));
    return loan_ ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult StagedCopy::free_chunk(std::size_t number, StagingChunk*& out) {
    out = &loan_->chunks[number % StagingSet::kChunks];
    return await(*out);
}

CUresult StagedCopy::await(StagingChunk& chunk) {
    if (chunk.busy_until == 0) return CUDA_SUCCESS;
    const transport::Channel& channel = caller_.channel();
    const auto wait = [&] {
        return channel.wait_fence(chunk.fence, chunk.busy_until,
                                  transport::now() + transport::kFencePatience);
    };
    bool reached =
        channel.reached(chunk.fence, chunk.busy_until) || wait() == transport::Error::kNone;
    // Waiting for the whole context would spoil a capture, so then only a fault ends the patience.
    while (!reached && caller_.session->captures.any() &&
           !ends_context(static_cast<CUresult>(channel.deferred_error()))) {
        const transport::Error error = wait();
        if (error != transport::Error::kNone && error != transport::Error::kTimedOut) break;
        reached = error == transport::Error::kNone;
    }
    chunk.busy_until = 0;
    if (reached) return CUDA_SUCCESS;
    // A faulted context writes no fences, and a long kernel may be in front: the host knows. Once
    // it has waited, successfully or not, nothing of that context touches the chunk any more.
    Context* context = caller_.session->contexts.find(chunk.context);
    if (context == nullptr) return CUDA_SUCCESS;
    const CUresult result = synchronize_on_host(caller_, *context);
    // Another context's failure is for those who work in that one.
    return chunk.context == stream_.context ? result : CUDA_SUCCESS;
}

}  // namespace cubar::guest
