// SPDX-License-Identifier: Apache-2.0
#include "libcuda/copy.h"

#include <algorithm>
#include <cstring>

#include "libcuda/graph_copy.h"
#include "transport/bulk_copy.h"

namespace cubar::guest {

CUresult find_end(const Caller& caller, std::uint64_t address, std::uint64_t bytes,
                  Expected expected, CopyEnd& out) {
    if (address == 0) return CUDA_ERROR_INVALID_VALUE;
    out = CopyEnd{address, Reach::kGuest, false};
    const auto range = caller.session->addresses.find(address);
    if (range) {
        out.on_device = range->on_device();
        if (out.on_device || range->kind == MemoryKind::kPinned) out.reach = Reach::kGpu;
        const bool fits = range->accessible && bytes <= range->end() - address;
        if (!fits && out.reach == Reach::kGpu && !caller.session->addresses.holds(address, bytes)) {
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    // A page-locked address is a device address as well.
    if (expected == Expected::kDevice && out.reach != Reach::kGpu) return CUDA_ERROR_INVALID_VALUE;
    if (expected == Expected::kHost && range && range->on_gpu_alone()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // Where nothing is mapped the guest has nothing either.
    if (!range && caller.session->reserved.holds(address)) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

namespace {

CUresult stage_in(const Caller& caller, Stream& stream, std::uint64_t target,
                  const std::byte* source, std::size_t bytes) {
    StagedCopy staged(caller, stream);
    CUBAR_TRY(staged.prepare());
    std::size_t number = 0;
    for (std::size_t done = 0; done < bytes; ++number) {
        StagingChunk* chunk = nullptr;
        CUBAR_TRY(staged.free_chunk(number, chunk));
        const std::size_t part = std::min(StagingChunk::kBytes, bytes - done);
        transport::bulk_write(staged.data(*chunk), source + done, part,
                              caller.channel().memory_type());
        wire::copy_in::Request request{};
        request.destination = target + done;
        request.source = chunk->offset;
        request.bytes = part;
        CUBAR_TRY(staged.post_with<wire::copy_in>(*chunk, request));
        done += part;
    }
    return CUDA_SUCCESS;
}

CUresult stage_out(const Caller& caller, Stream& stream, std::byte* target, std::uint64_t source,
                   std::size_t bytes) {
    StagedCopy staged(caller, stream);
    CUBAR_TRY(staged.prepare());
    const std::size_t parts = (bytes + StagingChunk::kBytes - 1) / StagingChunk::kBytes;
    const auto size_of = [&](std::size_t part) {
        return std::min(StagingChunk::kBytes, bytes - part * StagingChunk::kBytes);
    };
    std::array<StagingChunk*, StagingSet::kChunks> asked{};
    std::size_t requested = 0;
    for (std::size_t read = 0; read < parts; ++read) {
        // The GPU fills chunks ahead while the filled ones are copied out.
        for (; requested < parts && requested < read + StagingSet::kChunks; ++requested) {
            StagingChunk*& chunk = asked[requested % StagingSet::kChunks];
            CUBAR_TRY(staged.free_chunk(requested, chunk));
            wire::copy_out::Request request{};
            request.destination = chunk->offset;
            request.source = source + requested * StagingChunk::kBytes;
            request.bytes = size_of(requested);
            CUBAR_TRY(staged.post_with<wire::copy_out>(*chunk, request));
        }
        StagingChunk& chunk = *asked[read % StagingSet::kChunks];
        CUBAR_TRY(staged.await(chunk));
        transport::bulk_read(target + read * StagingChunk::kBytes, staged.data(chunk),
                             size_of(read), caller.channel().memory_type());
    }
    return caller.session->deferred_error(stream.context);
}

CUresult inline_in(const Caller& caller, Stream& stream, std::uint64_t target,
                   const std::byte* source, std::size_t bytes) {
    wire::copy_inline::Request request{};
    request.destination = target;
    request.payload_bytes = static_cast<std::uint32_t>(bytes);
    return post<wire::copy_inline>(caller, stream, request, {source, bytes});
}

}  // namespace

CUresult copy_bytes(const Caller& caller, Stream& stream, const CopyEnd& target,
                    const CopyEnd& source, std::size_t bytes, Promise promise) {
    if (bytes == 0) return CUDA_SUCCESS;
    if (is_capturing(stream)) return capture_bytes(caller, stream, target, source, bytes, promise);
    if (target.reach == Reach::kGpu && source.reach == Reach::kGpu) {
        wire::cuMemcpyAsync::Request request{};
        request.dst = target.address;
        request.src = source.address;
        request.ByteCount = bytes;
        CUBAR_TRY(post<wire::cuMemcpyAsync>(caller, stream, request));
        // Between two places on the device even CUDA's plain copies do not wait.
        if (promise == Promise::kAsync || (target.on_device && source.on_device)) {
            return CUDA_SUCCESS;
        }
        return wait_for(caller, stream, stream.last.load(std::memory_order_relaxed));
    }
    if (target.reach == Reach::kGpu) {
        return bytes <= kMaxInlineCopyBytes
                   ? inline_in(caller, stream, target.address, source.data(), bytes)
                   : stage_in(caller, stream, target.address, source.data(), bytes);
    }
    if (source.reach == Reach::kGpu) {
        return stage_out(caller, stream, target.data(), source.address, bytes);
    }
    CUBAR_TRY(wait_for(caller, stream, stream.last.load(std::memory_order_relaxed)));
    std::memmove(target.data(), source.data(), bytes);
    return CUDA_SUCCESS;
}

namespace {

CUresult copy(CUdeviceptr target, Expected target_is, CUdeviceptr source, Expected source_is,
              std::size_t bytes, CUstream value, Promise promise) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    if (bytes == 0) return CUDA_SUCCESS;
    CopyEnd to;
    CopyEnd from;
    CUBAR_TRY(find_end(caller, target, bytes, target_is, to));
    CUBAR_TRY(find_end(caller, source, bytes, source_is, from));
    return copy_bytes(caller, *stream, to, from, bytes, promise);
}

CUdeviceptr address_of(const void* host) {
    return reinterpret_cast<CUdeviceptr>(host);
}

/// The context that a peer copy names must be live; its device's memory is found by its address.
CUresult check_peer(CUcontext value) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    return caller.session->contexts.find(ContextHandle(bits_of(value))) != nullptr
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace

CUresult body_cuMemcpy(CUdeviceptr dst, CUdeviceptr src, std::size_t bytes, CUstream stream) {
    return copy(dst, Expected::kEither, src, Expected::kEither, bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyHtoD_v2(CUdeviceptr dst, const void* src, std::size_t bytes,
                              CUstream stream) {
    return copy(dst, Expected::kDevice, address_of(src), Expected::kHost, bytes, stream,
                Promise::kDone);
}
CUresult body_cuMemcpyDtoH_v2(void* dst, CUdeviceptr src, std::size_t bytes, CUstream stream) {
    return copy(address_of(dst), Expected::kHost, src, Expected::kDevice, bytes, stream,
                Promise::kDone);
}
CUresult body_cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, std::size_t bytes,
                              CUstream stream) {
    return copy(dst, Expected::kDevice, src, Expected::kDevice, bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_context, CUdeviceptr src,
                           CUcontext src_context, std::size_t bytes, CUstream stream) {
    CUBAR_TRY(check_peer(dst_context));
    CUBAR_TRY(check_peer(src_context));
    return copy(dst, Expected::kDevice, src, Expected::kDevice, bytes, stream, Promise::kDone);
}

}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, std::size_t bytes, CUstream stream) {
    return copy(dst, Expected::kEither, src, Expected::kEither, bytes, stream, Promise::kAsync);
}
CUBAR_API cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void* src, std::size_t bytes,
                               CUstream stream) {
    return copy(dst, Expected::kDevice, address_of(src), Expected::kHost, bytes, stream,
                Promise::kAsync);
}
CUBAR_API cuMemcpyDtoHAsync_v2(void* dst, CUdeviceptr src, std::size_t bytes, CUstream stream) {
    return copy(address_of(dst), Expected::kHost, src, Expected::kDevice, bytes, stream,
                Promise::kAsync);
}
CUBAR_API cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, std::size_t bytes,
                               CUstream stream) {
    return copy(dst, Expected::kDevice, src, Expected::kDevice, bytes, stream, Promise::kAsync);
}
CUBAR_API cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_context, CUdeviceptr src,
                            CUcontext src_context, std::size_t bytes, CUstream stream) {
    CUBAR_TRY(check_peer(dst_context));
    CUBAR_TRY(check_peer(src_context));
    return copy(dst, Expected::kDevice, src, Expected::kDevice, bytes, stream, Promise::kAsync);
}
