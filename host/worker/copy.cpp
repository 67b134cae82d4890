// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

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
template <typename Box>
bool extent(std::uint64_t pitch, std::uint64_t slice, const Box& box, std::uint64_t& bytes) {
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
    CUarray array = nullptr;
    std::uint64_t corner[3] = {};  ///< in the array
};

template <typename Box>
CUresult find_side(const Session& session, const Box& box, bool in_arena, std::uint64_t place,
                   std::uint64_t pitch, std::uint64_t slice, Side& side) {
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

CUresult find_array(const Session& session, ArrayHandle handle, const std::uint64_t (&corner)[3],
                    Side& side) {
    if (!handle) return CUDA_SUCCESS;
    side.type = CU_MEMORYTYPE_ARRAY;
    std::copy(std::begin(corner), std::end(corner), std::begin(side.corner));
    return session.arrays().resolve(handle, side.array);
}

template <typename Box>
CUresult copy_box(Session& session, const transport::Record& record, const Box& box, const Side& to,
                  const Side& from, CUstream stream) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = from.type;
    copy.srcDevice = from.device;
    copy.srcHost = from.host;
    copy.srcPitch = from.pitch;
    copy.srcHeight = from.rows;
    copy.srcArray = from.array;
    copy.srcXInBytes = from.corner[0];
    copy.srcY = from.corner[1];
    copy.srcZ = from.corner[2];
    copy.dstMemoryType = to.type;
    copy.dstDevice = to.device;
    copy.dstHost = to.host;
    copy.dstPitch = to.pitch;
    copy.dstHeight = to.rows;
    copy.dstArray = to.array;
    copy.dstXInBytes = to.corner[0];
    copy.dstY = to.corner[1];
    copy.dstZ = to.corner[2];
    copy.WidthInBytes = box.width_bytes;
    copy.Height = box.height;
    copy.Depth = box.depth;
    CUBAR_TRY(ask(session.driver().cuMemcpy3DAsync_v2, &copy, stream));
    session.work.count_copy(box.width_bytes * box.height * box.depth);
    return session.write_staging_fence(box.fence, record, stream);
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
    return copy_box(session, record, request, to, from, stream);
}

CUresult handle_copy_array(Session& session, const transport::Record& record,
                           const wire::copy_array::Request& request, std::span<const std::byte>,
                           wire::copy_array::Reply&) {
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    if (request.width_bytes == 0 || request.height == 0 || request.depth == 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Side to;
    Side from;
    CUBAR_TRY(find_array(session, request.destination_array, request.destination_corner, to));
    CUBAR_TRY(find_array(session, request.source_array, request.source_corner, from));
    if (to.array == nullptr) {
        CUBAR_TRY(find_side(session, request, request.destination_in_arena != 0,
                            request.destination, request.destination_pitch,
                            request.destination_slice, to));
    }
    if (from.array == nullptr) {
        CUBAR_TRY(find_side(session, request, request.source_in_arena != 0, request.source,
                            request.source_pitch, request.source_slice, from));
    }
    return copy_box(session, record, request, to, from, stream);
}

}  // namespace cubar::host
