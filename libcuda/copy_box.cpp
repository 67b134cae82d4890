// SPDX-License-Identifier: Apache-2.0
// Copies of rows: cuMemcpy2D, 3D and their peer variants, between memory and arrays.
#include <algorithm>
#include <array>
#include <cstring>

#include "libcuda/array.h"
#include "libcuda/copy.h"
#include "libcuda/graph_copy.h"
#include "transport/bulk_copy.h"

namespace cubar::guest {
namespace {

/// Rows of one slice that fit into a staging chunk.
struct Batch {
    std::uint64_t slice;
    std::uint64_t row;
    std::uint64_t rows;
};

class BoxBatches {
public:
    explicit BoxBatches(const CopyBox& box)
        : box_(box),
          rows_at_once_(std::min(box.height, StagingChunk::kBytes / box.width)),
          per_slice_((box.height + rows_at_once_ - 1) / rows_at_once_) {}

    std::size_t count() const { return per_slice_ * box_.depth; }
    Batch operator[](std::size_t number) const {
        const std::uint64_t row = number % per_slice_ * rows_at_once_;
        return {number / per_slice_, row, std::min(rows_at_once_, box_.height - row)};
    }

private:
    const CopyBox& box_;
    std::uint64_t rows_at_once_;
    std::uint64_t per_slice_;
};

std::uint64_t target_of(const CopyBox& box, std::uint64_t slice, std::uint64_t row) {
    return box.target.address + slice * box.target_slice + row * box.target_pitch;
}
std::uint64_t source_of(const CopyBox& box, std::uint64_t slice, std::uint64_t row) {
    return box.source.address + slice * box.source_slice + row * box.source_pitch;
}

/// Without a fence. What neither end is an array of crosses as a copy_3d, which has less to say.
wire::copy_array::Request on_gpu(const CopyBox& box) {
    wire::copy_array::Request request{};
    request.destination = box.target.address;
    request.source = box.source.address;
    request.destination_pitch = box.target_pitch;
    request.source_pitch = box.source_pitch;
    request.destination_slice = box.target_slice;
    request.source_slice = box.source_slice;
    request.width_bytes = box.width;
    request.height = box.height;
    request.depth = box.depth;
    request.destination_array = box.target.array;
    request.source_array = box.source.array;
    const auto put = [](const ArrayPlace& place, std::uint64_t(&corner)[3]) {
        corner[0] = place.x;
        corner[1] = place.y;
        corner[2] = place.z;
    };
    put(box.target.corner, request.destination_corner);
    put(box.source.corner, request.source_corner);
    request.fence = kNoFence;
    return request;
}

wire::copy_3d::Request between_memory(const wire::copy_array::Request& box) {
    wire::copy_3d::Request request{};
    request.destination = box.destination;
    request.source = box.source;
    request.destination_pitch = box.destination_pitch;
    request.source_pitch = box.source_pitch;
    request.destination_slice = box.destination_slice;
    request.source_slice = box.source_slice;
    request.width_bytes = box.width_bytes;
    request.height = box.height;
    request.depth = box.depth;
    request.destination_in_arena = box.destination_in_arena;
    request.source_in_arena = box.source_in_arena;
    request.fence = box.fence;
    return request;
}

bool has_array(const wire::copy_array::Request& request) {
    return request.destination_array || request.source_array;
}

CUresult post_batch(StagedCopy& staged, StagingChunk& chunk,
                    const wire::copy_array::Request& request) {
    return has_array(request) ? staged.post_with<wire::copy_array>(chunk, request)
                              : staged.post_with<wire::copy_3d>(chunk, between_memory(request));
}

/// A batch as a box of its own.
wire::copy_array::Request batch_of(const CopyBox& box, const Batch& batch) {
    CopyBox part = box;
    part.height = batch.rows;
    part.depth = 1;
    part.target.address = target_of(box, batch.slice, batch.row);
    part.source.address = source_of(box, batch.slice, batch.row);
    for (CopyEnd* const end : {&part.target, &part.source}) {
        end->corner.y += batch.row;
        end->corner.z += batch.slice;
    }
    return on_gpu(part);
}

wire::copy_array::Request batch_in(const CopyBox& box, const Batch& batch, std::uint64_t offset) {
    wire::copy_array::Request request = batch_of(box, batch);
    request.source = offset;
    request.source_in_arena = 1;
    request.source_pitch = box.width;
    request.source_slice = box.width * batch.rows;
    return request;
}

wire::copy_array::Request batch_out(const CopyBox& box, const Batch& batch, std::uint64_t offset) {
    wire::copy_array::Request request = batch_of(box, batch);
    request.destination = offset;
    request.destination_in_arena = 1;
    request.destination_pitch = box.width;
    request.destination_slice = box.width * batch.rows;
    return request;
}

CUresult box_in(const Caller& caller, Stream& stream, const CopyBox& box) {
    StagedCopy staged(caller, stream);
    CUBAR_TRY(staged.prepare());
    const BoxBatches batches(box);
    for (std::size_t number = 0; number < batches.count(); ++number) {
        const Batch batch = batches[number];
        StagingChunk* chunk = nullptr;
        CUBAR_TRY(staged.free_chunk(number, chunk));
        for (std::uint64_t row = 0; row < batch.rows; ++row) {
            transport::bulk_write(
                staged.data(*chunk) + row * box.width,
                reinterpret_cast<const std::byte*>(source_of(box, batch.slice, batch.row + row)),
                box.width, caller.channel().memory_type());
        }
        CUBAR_TRY(post_batch(staged, *chunk, batch_in(box, batch, chunk->offset)));
    }
    return CUDA_SUCCESS;
}

CUresult box_out(const Caller& caller, Stream& stream, const CopyBox& box) {
    StagedCopy staged(caller, stream);
    CUBAR_TRY(staged.prepare());
    const BoxBatches batches(box);
    std::array<StagingChunk*, StagingSet::kChunks> asked{};
    std::size_t requested = 0;
    for (std::size_t read = 0; read < batches.count(); ++read) {
        for (; requested < batches.count() && requested < read + StagingSet::kChunks; ++requested) {
            StagingChunk*& chunk = asked[requested % StagingSet::kChunks];
            CUBAR_TRY(staged.free_chunk(requested, chunk));
            CUBAR_TRY(
                post_batch(staged, *chunk, batch_out(box, batches[requested], chunk->offset)));
        }
        StagingChunk& chunk = *asked[read % StagingSet::kChunks];
        CUBAR_TRY(staged.await(chunk));
        const Batch batch = batches[read];
        for (std::uint64_t row = 0; row < batch.rows; ++row) {
            transport::bulk_read(
                reinterpret_cast<std::byte*>(target_of(box, batch.slice, batch.row + row)),
                staged.data(chunk) + row * box.width, box.width, caller.channel().memory_type());
        }
    }
    return caller.session->deferred_error(stream.context);
}

/// Row by row: for rows longer than a chunk, and between two places that only this process reaches.
CUresult copy_rows(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise) {
    for (std::uint64_t slice = 0; slice < box.depth; ++slice) {
        for (std::uint64_t row = 0; row < box.height; ++row) {
            CopyEnd target = box.target;
            CopyEnd source = box.source;
            target.address = target_of(box, slice, row);
            source.address = source_of(box, slice, row);
            CUBAR_TRY(copy_bytes(caller, stream, target, source, box.width, promise));
        }
    }
    return CUDA_SUCCESS;
}

/// In parts whose rows fit into a staging chunk: elements of arrays are not torn.
CUresult copy_columns(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise) {
    for (std::uint64_t x = 0; x < box.width; x += StagingChunk::kBytes) {
        CopyBox part = box;
        part.width = std::min<std::uint64_t>(box.width - x, StagingChunk::kBytes);
        for (CopyEnd* const end : {&part.target, &part.source}) {
            end->address += x;
            end->corner.x += x;
        }
        CUBAR_TRY(copy_box(caller, stream, part, promise));
    }
    return CUDA_SUCCESS;
}

}  // namespace

CUresult post_box(const Caller& caller, Stream& stream, const CopyBox& box) {
    const wire::copy_array::Request request = on_gpu(box);
    return has_array(request) ? post<wire::copy_array>(caller, stream, request)
                              : post<wire::copy_3d>(caller, stream, between_memory(request));
}

CUresult check_elements(const CopyBox& box) {
    const bool differ =
        box.target.array && box.source.array && box.target.element != box.source.element;
    return differ ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult copy_box(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise) {
    if (is_capturing(stream)) return capture_box(caller, stream, box, promise);
    const bool to_gpu = box.target.reach == Reach::kGpu;
    const bool from_gpu = box.source.reach == Reach::kGpu;
    if (to_gpu && from_gpu) {
        CUBAR_TRY(post_box(caller, stream, box));
        if (promise == Promise::kAsync || (box.target.on_device && box.source.on_device)) {
            return CUDA_SUCCESS;
        }
        return wait_for(caller, stream, stream.last.load(std::memory_order_relaxed));
    }
    if (box.width > StagingChunk::kBytes && (box.target.array || box.source.array)) {
        return copy_columns(caller, stream, box, promise);
    }
    if (to_gpu == from_gpu || box.width > StagingChunk::kBytes) {
        return copy_rows(caller, stream, box, promise);
    }
    return to_gpu ? box_in(caller, stream, box) : box_out(caller, stream, box);
}

namespace {

/// One side of CUDA's copy structures, which differ between 2D, 3D and peer.
struct Side {
    CUmemorytype type;
    std::uint64_t host;
    CUdeviceptr device;
    CUarray array;
    std::uint64_t x;
    std::uint64_t y;
    std::uint64_t z;
    std::uint64_t lod;
    std::uint64_t pitch;
    std::uint64_t rows;  ///< of a slice; 0 where there is one slice
};

CUresult resolve_side(const Caller& caller, const Side& side, std::uint64_t width,
                      std::uint64_t height, std::uint64_t depth, CopyEnd& end, std::uint64_t& pitch,
                      std::uint64_t& slice) {
    if (side.lod != 0) return CUDA_ERROR_INVALID_VALUE;
    if (side.type == CU_MEMORYTYPE_ARRAY) {
        pitch = width;
        slice = width * height;
        return find_end(caller, side.array, {side.x, side.y, side.z}, {width, height, depth}, end);
    }
    pitch = side.pitch != 0 ? side.pitch : side.x + width;
    const std::uint64_t rows = side.rows != 0 ? side.rows : side.y + height;
    if ((height > 1 || depth > 1) && pitch < side.x + width) return CUDA_ERROR_INVALID_VALUE;
    if (depth > 1 && rows < side.y + height) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t base = 0;
    std::uint64_t offset = 0;
    std::uint64_t rows_before = 0;
    std::uint64_t reach = 0;
    // Hostile or mistaken sizes must not wrap around into a range that looks right.
    if (__builtin_mul_overflow(pitch, rows, &slice) ||
        __builtin_mul_overflow(slice, side.z, &offset) ||
        __builtin_mul_overflow(pitch, side.y, &rows_before) ||
        __builtin_add_overflow(offset, rows_before, &offset) ||
        __builtin_add_overflow(offset, side.x, &offset) ||
        __builtin_mul_overflow(slice, depth - 1, &reach) ||
        __builtin_mul_overflow(pitch, height - 1, &rows_before) ||
        __builtin_add_overflow(reach, rows_before, &reach) ||
        __builtin_add_overflow(reach, width, &reach)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Expected expected = Expected::kEither;
    switch (side.type) {
        case CU_MEMORYTYPE_HOST:
            base = side.host;
            expected = Expected::kHost;
            break;
        case CU_MEMORYTYPE_DEVICE:
            base = side.device;
            expected = Expected::kDevice;
            break;
        case CU_MEMORYTYPE_UNIFIED:
            base = side.device;
            break;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (base == 0 || __builtin_add_overflow(base, offset, &base)) return CUDA_ERROR_INVALID_VALUE;
    return find_end(caller, base, reach, expected, end);
}

}  // namespace

CUresult find_end(const Caller& caller, CUarray value, const ArrayPlace& corner,
                  const ArrayPlace& size, CopyEnd& out) {
    Array* array = nullptr;
    CUBAR_TRY(find_array(caller, value, array));
    const CUDA_ARRAY3D_DESCRIPTOR& shape = array->shape;
    const std::uint32_t element = element_bytes(shape);
    const auto fits = [](std::uint64_t from, std::uint64_t count, std::uint64_t whole) {
        const std::uint64_t most = whole == 0 ? 1 : whole;
        return from < most && count <= most - from;
    };
    if (!fits(corner.x, size.x, shape.Width * element) || !fits(corner.y, size.y, shape.Height) ||
        !fits(corner.z, size.z, shape.Depth) || element == 0 || corner.x % element != 0 ||
        size.x % element != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    out = {};
    out.reach = Reach::kGpu;
    out.on_device = true;
    out.array = ArrayHandle(bits_of(value));
    out.corner = corner;
    out.element = element;
    return CUDA_SUCCESS;
}

namespace {

CUresult resolve_sides(const Caller& caller, const Side& target, const Side& source, CopyBox& box) {
    CUBAR_TRY(resolve_side(caller, target, box.width, box.height, box.depth, box.target,
                           box.target_pitch, box.target_slice));
    CUBAR_TRY(resolve_side(caller, source, box.width, box.height, box.depth, box.source,
                           box.source_pitch, box.source_slice));
    return check_elements(box);
}

CUresult copy_sides(const Side& target, const Side& source, std::uint64_t width,
                    std::uint64_t height, std::uint64_t depth, CUstream value, Promise promise) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    if (width == 0 || height == 0 || depth == 0) return CUDA_SUCCESS;
    CopyBox box;
    box.width = width;
    box.height = height;
    box.depth = depth;
    CUBAR_TRY(resolve_sides(caller, target, source, box));
    return copy_box(caller, *stream, box, promise);
}

std::uint64_t address_of(const void* host) {
    return reinterpret_cast<std::uint64_t>(host);
}

CUresult copy_2d(const CUDA_MEMCPY2D* copy, CUstream stream, Promise promise) {
    if (copy == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Side target{copy->dstMemoryType,
                      address_of(copy->dstHost),
                      copy->dstDevice,
                      copy->dstArray,
                      copy->dstXInBytes,
                      copy->dstY,
                      0,
                      0,
                      copy->dstPitch,
                      0};
    const Side source{copy->srcMemoryType,
                      address_of(copy->srcHost),
                      copy->srcDevice,
                      copy->srcArray,
                      copy->srcXInBytes,
                      copy->srcY,
                      0,
                      0,
                      copy->srcPitch,
                      0};
    return copy_sides(target, source, copy->WidthInBytes, copy->Height, 1, stream, promise);
}

/// CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER name the same things alike.
template <typename Copy>
Side target_side(const Copy& copy) {
    return {copy.dstMemoryType, address_of(copy.dstHost),
            copy.dstDevice,     copy.dstArray,
            copy.dstXInBytes,   copy.dstY,
            copy.dstZ,          copy.dstLOD,
            copy.dstPitch,      copy.dstHeight};
}
template <typename Copy>
Side source_side(const Copy& copy) {
    return {copy.srcMemoryType, address_of(copy.srcHost),
            copy.srcDevice,     copy.srcArray,
            copy.srcXInBytes,   copy.srcY,
            copy.srcZ,          copy.srcLOD,
            copy.srcPitch,      copy.srcHeight};
}
template <typename Copy>
CUresult copy_3d(const Copy* copy, CUstream stream, Promise promise) {
    if (copy == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return copy_sides(target_side(*copy), source_side(*copy), copy->WidthInBytes, copy->Height,
                      copy->Depth, stream, promise);
}

}  // namespace

CUresult find_box(const Caller& caller, const CUDA_MEMCPY3D& copy, CopyBox& box) {
    box.width = copy.WidthInBytes;
    box.height = copy.Height;
    box.depth = copy.Depth;
    if (box.width == 0 || box.height == 0 || box.depth == 0) return CUDA_ERROR_INVALID_VALUE;
    return resolve_sides(caller, target_side(copy), source_side(copy), box);
}

CUresult body_cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return copy_2d(copy, stream, Promise::kDone);
}
CUresult body_cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return copy_2d(copy, stream, Promise::kDone);
}
CUresult body_cuMemcpy3D_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
    return copy_3d(copy, stream, Promise::kDone);
}
CUresult body_cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
    return copy_3d(copy, stream, Promise::kDone);
}

}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return copy_2d(copy, stream, Promise::kAsync);
}
CUBAR_API cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
    return copy_3d(copy, stream, Promise::kAsync);
}
CUBAR_API cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
    return copy_3d(copy, stream, Promise::kAsync);
}
