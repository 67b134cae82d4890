// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "softgpu/device/heap.h"

namespace cubar::softgpu::device {

/// The memory of one device that has no address of its own: pages of a memory file, so that the
/// same ones can be seen at several places. Counted in the device's heap. Thread-safe.
class PhysicalStore {
public:
    explicit PhysicalStore(Heap& heap) : heap_(heap) {}
    ~PhysicalStore();
    PhysicalStore(const PhysicalStore&) = delete;
    PhysicalStore& operator=(const PhysicalStore&) = delete;

    /// Some pages of it. They go back with the last reference; the store outlives them all.
    class Pages {
    public:
        Pages(PhysicalStore& store, std::uint64_t offset, std::size_t size)
            : store_(store), offset_(offset), size_(size) {}
        ~Pages() { store_.give_back(offset_, size_); }
        Pages(const Pages&) = delete;
        Pages& operator=(const Pages&) = delete;

        [[nodiscard]] std::size_t size() const { return size_; }
        /// Shows the first `size` bytes at those addresses, inaccessible. False when the host
        /// refuses.
        bool map(AddressSpace& space, Address at, std::size_t size) const {
            return space.map(at, size, store_.file_, offset_);
        }

    private:
        PhysicalStore& store_;
        const std::uint64_t offset_;
        const std::size_t size_;
    };

    /// Zeroed pages, whole ones; null when memory is exhausted.
    std::shared_ptr<const Pages> take(std::size_t size);

private:
    bool open();
    void give_back(std::uint64_t offset, std::size_t size);

    Heap& heap_;
    std::mutex mutex_;
    int file_ = -1;  // opened by the first take()
    std::optional<RangeAllocator> offsets_;
};

}  // namespace cubar::softgpu::device
