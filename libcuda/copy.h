// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "libcuda/call.h"

namespace cubar::guest {

/// How one end of a copy is reached.
enum class Reach : std::uint8_t {
    kGpu,    ///< by the GPU at this very address: device memory, or pinned memory in the arena
    kGuest,  ///< by this process alone: its bytes pass through the ring or through staging
};

/// A place in an array, or the size of a part of one: bytes, rows, slices.
struct ArrayPlace {
    std::uint64_t x = 0;
    std::uint64_t y = 0;
    std::uint64_t z = 0;
};

/// One end of a copy: memory, or a part of an array.
struct CopyEnd {
    std::uint64_t address = 0;
    Reach reach = Reach::kGuest;
    bool on_device = false;
    ArrayHandle array{};  ///< null: memory
    ArrayPlace corner{};
    std::uint32_t element = 0;  ///< bytes of one of the array

    std::byte* data() const { return reinterpret_cast<std::byte*>(address); }
};

/// What an application says of an address, by the function it calls or the CUmemorytype it gives.
enum class Expected : std::uint8_t { kHost, kDevice, kEither };

/// Finds out how an address is reached. CUDA_ERROR_INVALID_VALUE where it is not what the
/// application says, or where a range that CUDA knows ends before `bytes`.
CUresult find_end(const Caller& caller, std::uint64_t address, std::uint64_t bytes,
                  Expected expected, CopyEnd& out);
/// The same of a part of an array.
CUresult find_end(const Caller& caller, CUarray array, const ArrayPlace& corner,
                  const ArrayPlace& size, CopyEnd& out);

/// Sees to it that staged copies will go on when the application has taken the whole arena. False:
/// there is no room even for them.
bool prepare_staging(const Caller& caller);

/// Fills or empties staging chunks for one copy, chunk after chunk.
class StagedCopy {
public:
    /// Borrows staging memory; check with prepare().
    StagedCopy(const Caller& caller, Stream& stream) : caller_(caller), stream_(stream) {}

    /// CUDA_ERROR_OUT_OF_MEMORY: the arena has no room for staging.
    CUresult prepare();

    /// The n-th chunk from now on, modulo StagingSet::kChunks, free of earlier copies.
    CUresult free_chunk(std::size_t number, StagingChunk*& out);
    /// Waits until the GPU has filled what was last asked of the chunk.
    CUresult await(StagingChunk& chunk);

    std::byte* data(const StagingChunk& chunk) const {
        return caller_.channel().arena_base() + chunk.offset;
    }

    /// Posts the record that uses the chunk. W's request has a field `fence`.
    template <typename W>
    CUresult post_with(StagingChunk& chunk, typename W::Request request) {
        request.fence = chunk.fence;
        Position position = 0;
        CUBAR_TRY(post<W>(caller_, stream_, request, {}, &position));
        chunk.busy_until = position;
        chunk.context = stream_.context;
        return CUDA_SUCCESS;
    }

private:
    const Caller& caller_;
    Stream& stream_;
    StagingPool::Loan loan_;
};

/// What a copy function promises to its caller.
enum class Promise : std::uint8_t {
    kAsync,  ///< pageable source consumed, pageable destination filled, the rest in stream order
    kDone,   ///< besides, page-locked memory is not touched any more
};

/// Copies bytes in stream order. The ends were found by find_end().
CUresult copy_bytes(const Caller& caller, Stream& stream, const CopyEnd& target,
                    const CopyEnd& source, std::size_t bytes, Promise promise);

/// Rows of equal width, as cuMemcpy2D and 3D copy them; addresses are those of the first byte.
struct CopyBox {
    CopyEnd target;
    CopyEnd source;
    std::uint64_t target_pitch = 0;  ///< bytes from row to row
    std::uint64_t source_pitch = 0;
    std::uint64_t target_slice = 0;  ///< bytes from slice to slice
    std::uint64_t source_slice = 0;
    std::uint64_t width = 0;  ///< bytes
    std::uint64_t height = 0;
    std::uint64_t depth = 0;
};
CUresult copy_box(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise);

/// The box that CUDA's structure describes, if it may be copied at all.
CUresult find_box(const Caller& caller, const CUDA_MEMCPY3D& copy, CopyBox& box);

/// Two arrays have elements of one size.
CUresult check_elements(const CopyBox& box);

/// Posts the copy of a box whose ends the GPU reaches.
CUresult post_box(const Caller& caller, Stream& stream, const CopyBox& box);

}  // namespace cubar::guest
