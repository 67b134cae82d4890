// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

#include "softgpu/device/address_space.h"

namespace cubar::softgpu::device {

/// One device's memory: what is in use, and where. As on NVIDIA's driver, small allocations share
/// 2 MiB pages and large ones take whole pages; both count as the pages that they take, so free and
/// total are honest about what a further allocation can get. Thread-safe.
class Heap {
public:
    /// @param capacity bytes of device memory; whole pages of it are handed out.
    Heap(AddressSpace& space, std::size_t capacity);
    ~Heap();
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// An aligned range of at least `size` > 0 bytes of memory; none when memory is exhausted.
    std::optional<Address> allocate(std::size_t size);
    /// Gives back what allocate() returned.
    void free(Address address);

    /// Counts whole pages of memory that get their addresses elsewhere. False when memory is
    /// exhausted.
    bool claim(std::size_t size);
    void give_up(std::size_t size);

    /// What allocate() set aside for a request: the size with its padding.
    static std::size_t extent(std::size_t size);

    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] std::size_t available() const;

private:
    std::optional<Address> map_pages(std::size_t size);
    void unmap_pages(Address begin, std::size_t size);
    std::optional<Address> allocate_small(std::size_t size);

    AddressSpace& space_;
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::size_t used_ = 0;
    std::map<Address, RangeAllocator> shared_pages_;
    std::map<Address, std::size_t> sizes_;  // of everything that is allocated
};

}  // namespace cubar::softgpu::device
