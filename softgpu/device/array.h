// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "softgpu/device/heap.h"
#include "softgpu/device/memory.h"

namespace cubar::softgpu::device {

/// Device memory without an address that programs know. Given back with the last reference: work in
/// flight, graphs and textures hold one, so nothing ever reads memory that is somebody else's.
class ArrayMemory {
public:
    /// Throws CUDA_ERROR_OUT_OF_MEMORY.
    ArrayMemory(Heap& heap, std::size_t size);
    ~ArrayMemory();
    ArrayMemory(const ArrayMemory&) = delete;
    ArrayMemory& operator=(const ArrayMemory&) = delete;

    [[nodiscard]] Address base() const { return base_; }

private:
    Heap& heap_;
    Address base_;
};

/// A CUDA array, or one level of a mipmapped one: rows of elements, one behind the other. Constant
/// but for its handle and contents.
class Array {
public:
    /// @param offset of the first element in the memory.
    Array(const CUDA_ARRAY3D_DESCRIPTOR& description, MemoryOwner owner,
          std::shared_ptr<const ArrayMemory> memory, std::size_t offset, bool is_level);

    /// Throws CUDA_ERROR_INVALID_VALUE, or CUDA_ERROR_NOT_SUPPORTED for what this device lacks.
    static void check(const CUDA_ARRAY3D_DESCRIPTOR& description);
    /// After check(). Throws CUDA_ERROR_OUT_OF_MEMORY.
    static std::shared_ptr<Array> create(Heap& heap, MemoryOwner owner,
                                         const CUDA_ARRAY3D_DESCRIPTOR& description);

    [[nodiscard]] const CUDA_ARRAY3D_DESCRIPTOR& description() const { return description_; }
    [[nodiscard]] CUcontext context() const { return owner_.context; }
    /// It ends with the mipmapped array that it is a level of.
    [[nodiscard]] bool is_level() const { return is_level_; }
    [[nodiscard]] Address base() const { return base_; }
    [[nodiscard]] std::size_t element() const;  ///< bytes
    [[nodiscard]] std::size_t pitch() const;    ///< bytes of a row
    [[nodiscard]] std::size_t rows() const;     ///< of a slice or layer
    [[nodiscard]] std::size_t slices() const;   ///< or layers
    [[nodiscard]] std::size_t bytes() const { return pitch() * rows() * slices(); }

    CUarray handle = nullptr;  ///< set once, before anybody else knows the array

private:
    const CUDA_ARRAY3D_DESCRIPTOR description_;
    const MemoryOwner owner_;
    const std::shared_ptr<const ArrayMemory> memory_;
    const Address base_;
    const bool is_level_;
};

using ArrayRef = std::shared_ptr<Array>;

/// A mipmapped array: each level has half the size of the one before, in one piece of memory.
class MipmappedArray {
public:
    /// After Array::check(). More levels than the size has are as many as it has.
    static std::shared_ptr<MipmappedArray> create(Heap& heap, MemoryOwner owner,
                                                  const CUDA_ARRAY3D_DESCRIPTOR& description,
                                                  unsigned levels);

    [[nodiscard]] CUcontext context() const { return levels_.front()->context(); }
    [[nodiscard]] const std::vector<ArrayRef>& levels() const { return levels_; }

private:
    std::vector<ArrayRef> levels_;
};

using MipmappedArrayRef = std::shared_ptr<MipmappedArray>;

}  // namespace cubar::softgpu::device
