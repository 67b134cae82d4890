// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "softgpu/device/array.h"
#include "softgpu/device/context.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

/// One side of a copy: where its first byte lies and how far rows and slices are apart, in bytes.
struct CopySide {
    Address base = 0;
    std::size_t pitch = 0;
    std::size_t slice = 0;
    std::shared_ptr<const Array> array{};  ///< that it lies in, if it lies in one

    /// A corner of an array, in bytes, rows and slices.
    static CopySide in(std::shared_ptr<const Array> array, std::size_t x, std::size_t y,
                       std::size_t z);
};

/// What is copied: width in bytes, height in rows, depth in slices.
struct CopyExtent {
    std::size_t width = 0;
    std::size_t height = 1;
    std::size_t depth = 1;

    [[nodiscard]] bool empty() const { return width == 0 || height == 0 || depth == 0; }
    [[nodiscard]] std::size_t bytes() const { return width * height * depth; }
};

/// What the caller says that an address is.
enum class Claim : std::uint8_t {
    kHost,     ///< host memory, known to CUDA or not
    kDevice,   ///< memory that the device can reach
    kUnified,  ///< either; looked up
    kArray,    ///< part of an array
};

/// Where a side's memory turned out to be.
enum class Place : std::uint8_t { kPageable, kPinned, kDevice };

/// A copy whose sides have been checked.
class Copy {
public:
    /// Throws CUDA_ERROR_INVALID_VALUE when a side that is the device's does not lie in one
    /// allocation, or a pitch is too small.
    Copy(const Memory& memory, CopySide destination, Claim destination_claim, CopySide source,
         Claim source_claim, CopyExtent extent);

    /// cuMemcpy…: in the stream's order, with CUDA's rules of when the host waits.
    void run(Context& context, const StreamRef& stream) const;
    /// cuMemcpy…Async: a pageable source is consumed, a pageable destination filled on return.
    void run_async(Context& context, const StreamRef& stream) const;

    void perform() const;
    /// perform(), if the memory that CUDA knew at the check can still be touched.
    void perform_now(Stream& stream) const;

    [[nodiscard]] const CopyExtent& extent() const { return extent_; }
    [[nodiscard]] Place to() const { return to_; }
    [[nodiscard]] Place from() const { return from_; }
    /// As cuMemcpy3D would be told of it.
    [[nodiscard]] CUDA_MEMCPY3D description() const;

private:
    /// The source, row behind row.
    [[nodiscard]] std::vector<std::byte> gather() const;
    /// Its turn in a stream.
    void take_turn(Stream& stream) const;

    CopySide destination_;
    CopySide source_;
    CopyExtent extent_;
    Place to_;
    Place from_;
    bool of_graph_;  ///< memory of a graph: whether it is allocated now, its turn shows
};

/// A copy that lies at rest in a graph: host memory is read and written when it runs.
class CopyWork final : public Work {
public:
    explicit CopyWork(const Copy& copy) : CopyWork(copy, copy.description()) {}
    CopyWork(const Copy& copy, const CUDA_MEMCPY3D& description)
        : Work(CU_GRAPH_NODE_TYPE_MEMCPY), copy_(copy), description_(description) {}
    void run(Stream& stream) const override;

    [[nodiscard]] const Copy& copy() const { return copy_; }
    /// As the caller gave it, where the caller gave one.
    [[nodiscard]] const CUDA_MEMCPY3D& description() const { return description_; }

private:
    Copy copy_;
    CUDA_MEMCPY3D description_;
};

}  // namespace cubar::softgpu::device
