// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace cubar::softgpu::device {

using Address = std::uint64_t;

inline constexpr std::size_t kSmallAlignment = 512;             ///< of every allocation
inline constexpr std::size_t kPageSize = std::size_t{2} << 20;  ///< the device's page

constexpr std::size_t round_up(std::size_t size, std::size_t unit) {
    return (size + unit - 1) / unit * unit;
}

/// Hands out parts of one address range, lowest fitting first. Pure arithmetic; not thread-safe.
class RangeAllocator {
public:
    RangeAllocator(Address begin, std::size_t size);

    /// A free part of that size, aligned to a power of two; none when there is no such part.
    std::optional<Address> take(std::size_t size, std::size_t alignment);
    /// That very part, or none when some of it is taken or outside.
    std::optional<Address> take_at(Address begin, std::size_t size);
    /// Gives back what take() handed out, whole.
    void give(Address begin, std::size_t size);

    [[nodiscard]] bool whole() const;  ///< nothing is taken

private:
    std::optional<Address> carve(std::map<Address, std::size_t>::iterator hole, Address begin,
                                 std::size_t size);

    std::size_t size_;
    std::map<Address, std::size_t> holes_;
};

/// The window of this process's addresses in which all device memory lies: reserved once, high, at
/// a preferred place, so that device pointers equal no host pointer. A range is inaccessible until
/// it is committed. Thread-safe.
class AddressSpace {
public:
    /// @param strict place the window where the mappings of other processes are likely to lie.
    explicit AddressSpace(bool strict);
    ~AddressSpace();
    AddressSpace(const AddressSpace&) = delete;
    AddressSpace& operator=(const AddressSpace&) = delete;

    [[nodiscard]] bool valid() const { return begin_ != 0; }
    [[nodiscard]] Address begin() const { return begin_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool contains(Address address) const { return address - begin_ < size_; }

    /// Whole pages of address space without memory behind them.
    std::optional<Address> reserve(std::size_t size, std::size_t alignment);
    std::optional<Address> reserve_at(Address begin, std::size_t size);
    void release(Address begin, std::size_t size);

    /// Puts zeroed memory behind a reserved range. False when the host has none.
    bool commit(Address begin, std::size_t size);
    /// Takes the memory away again; the range stays reserved.
    void decommit(Address begin, std::size_t size);

    /// Puts a part of a memory file behind a reserved range, inaccessible. False when the host
    /// refuses.
    bool map(Address begin, std::size_t size, int file, std::uint64_t offset);
    /// Makes what map() put there accessible or inaccessible. False when the host refuses.
    bool allow(Address begin, std::size_t size, bool access);
    /// Takes what map() put there away; the range stays reserved.
    void unmap(Address begin, std::size_t size);

private:
    Address begin_ = 0;
    std::size_t size_ = 0;
    std::mutex mutex_;
    std::optional<RangeAllocator> ranges_;
};

}  // namespace cubar::softgpu::device
