// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/arena_view.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

// The asynchronous calls are right for arena memory that is not page-locked as well: from pageable
// memory the driver has read, and to it has written, what it needs when they return, and a fence
// that the stream writes after them says no less.
namespace cubar::host {
namespace {

/// Bytes from the first to the last that a box of rows reaches. False: more than 64 bits count.
bool extent(std::uint64_t pitch, std::uint64_t slice, const wire::copy_3d::Request& box,
            std::uint64_t& bytes) {
    std::uint64_t rows = 0;
    std::uint64_t slices = 0;
    return !__builtin_mul_overflow(pitch, box.height - 1, &rows) &&
           !__builtin_mul_overflow(slice, box.depth - 1, &slices) &&
           !__builtin_add_overflow(rows, slices, &bytes) &&
           !__builtin_add_overflow(bytes, box.width_bytes, &bytes);
}

/// One side of a box as cuMemcpy3D wants it.
struct Side {
    CUmemorytype type = CU_MEMORYTYPE_UNIFIED;
    CUdeviceptr device = 0;
    std::byte* host = nullptr;
    std::size_t pitch = 0;
    std::size_t rows = 0;  ///< from slice to slice
};

CUresult find_side(const Session& session, const wire::copy_3d::Request& box, bool in_arena,
                   std::uint64_t place, std::uint64_t pitch, std::uint64_t slice, Side& side) {
    side.pitch = box.height == 1 && box.depth == 1 ? box.width_bytes : pitch;
    side.rows = box.height;
    if (box.depth > 1) {
        if (pitch == 0 || slice % pitch != 0) return CUDA_ERROR_INVALID_VALUE;
        side.rows = slice / pitch;
    }
    if (!in_arena) {
        side.device = place;
        return CUDA_SUCCESS;
    }
    std::uint64_t bytes = 0;
    if (!extent(pitch, slice, box, bytes)) return CUDA_ERROR_INVALID_VALUE;
    const auto memory = session.arena().bytes(place, bytes);
    if (memory.empty()) return CUDA_ERROR_INVALID_VALUE;
    side.type = CU_MEMORYTYPE_HOST;
    side.host = memory.data();
    return CUDA_SUCCESS;
}

}  // namespace

CUresult handle_copy_in(Session& session, const transport::Record& record,
                        const wire::copy_in::Request& request, std::span<const std::byte>,
                        wire::copy_in::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    const auto source = session.arena().bytes(request.source, request.bytes);
    if (source.empty()) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(ask(session.driver().cuMemcpyHtoDAsync_v2, request.destination, source.data(),
                  source.size(), stream));
    session.work.count_copy(request.bytes);
    return session.write_staging_fence(request.fence, record, stream);
}

CUresult handle_copy_out(Session& session, const transport::Record& record,
                         const wire::copy_out::Request& request, std::span<const std::byte>,
                         wire::copy_out::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    const auto destination = session.arena().bytes(request.destination, request.bytes);
    if (destination.empty()) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(ask(session.driver().cuMemcpyDtoHAsync_v2, destination.data(), request.source,
                  destination.size(), stream));
    session.work.count_copy(request.bytes);
    return session.write_staging_fence(request.fence, record, stream);
}

CUresult handle_copy_inline(Session& session, const transport::Record& record,
                            const wire::copy_inline::Request& request,
                            std::span<const std::byte> payload, wire::copy_inline::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    session.work.count_copy(payload.size());
    // From the record's private copy, which is pageable: the driver has read it when this returns.
    return ask(session.driver().cuMemcpyHtoDAsync_v2, request.destination, payload.data(),
               payload.size(), stream);
}

CUresult handle_copy_3d(Session& session, const transport::Record& record,
                        const wire::copy_3d::Request& request, std::span<const std::byte>,
                        wire::copy_3d::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    if (request.width_bytes == 0 || request.height == 0 || request.depth == 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Side to;
    Side from;
    CUBAR_TRY(find_side(session, request, request.destination_in_arena != 0, request.destination,
                        request.destination_pitch, request.destination_slice, to));
    CUBAR_TRY(find_side(session, request, request.source_in_arena != 0, request.source,
                        request.source_pitch, request.source_slice, from));
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = from.type;
    copy.srcDevice = from.device;
    copy.srcHost = from.host;
    copy.srcPitch = from.pitch;
    copy.srcHeight = from.rows;
    copy.dstMemoryType = to.type;
    copy.dstDevice = to.device;
    copy.dstHost = to.host;
    copy.dstPitch = to.pitch;
    copy.dstHeight = to.rows;
    copy.WidthInBytes = request.width_bytes;
    copy.Height = request.height;
    copy.Depth = request.depth;
    CUBAR_TRY(ask(session.driver().cuMemcpy3DAsync_v2, &copy, stream));
    session.work.count_copy(request.width_bytes * request.height * request.depth);
    return session.write_staging_fence(request.fence, record, stream);
}

}  // namespace cubar::host
