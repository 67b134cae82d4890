// SPDX-License-Identifier: Apache-2.0
// The guest's allocator over the granules of bulk memory that the host leased to it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cubar/layout.h"
#include "transport/lock.h"

namespace cubar::transport {

/// A run of granules, by number in the arena.
struct GranuleRun {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
};

/// Hands out offsets in the arena. Its books are private memory: nothing that a peer can write
/// decides what is allocated. Thread-safe. First fit over the extents in order of address, which
/// keeps neighbours together; look-up by offset is a binary search. No allocation spans two leases:
/// the host page-locks each by itself, and a GPU's copy must stay inside one page-locked range.
class Arena {
public:
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};
    static constexpr std::uint64_t kUnit = 256;  ///< sizes and alignments are multiples of this

    Arena() = default;
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    /// Adds granules of one lease. False: out of private memory, or one of them was added before.
    bool add(GranuleRun run);

    /// `alignment` is a power of two. kNone: no leased extent is large enough; lease and retry.
    std::uint64_t allocate(std::uint64_t bytes, std::uint64_t alignment = kUnit);

    /// Frees what allocate() returned. False: that is not an allocation.
    bool free(std::uint64_t offset);

    /// Size of the allocation that contains `offset`, and where it begins; 0 if there is none.
    std::uint64_t find(std::uint64_t offset, std::uint64_t* begin) const;

    /// Takes out a lease of which nothing is allocated, for giving it back to the host; count 0 if
    /// there is none.
    GranuleRun remove_free();

    std::uint64_t leased_bytes() const;
    std::uint64_t allocated_bytes() const;

private:
    struct Extent {
        std::uint64_t begin;
        std::uint64_t end;
        std::uint64_t lease;  ///< where the lease that it is part of begins
        bool used;
    };
    std::size_t position_of(std::uint64_t offset) const;
    bool reserve_extents(std::size_t more);
    void insert(std::size_t at, Extent extent);
    void erase(std::size_t at);
    void merge_around(std::size_t at);

    mutable ShortLock lock_;
    Extent* extents_ = nullptr;  ///< sorted, disjoint; free neighbours of one lease are merged
    std::size_t count_ = 0;
    std::size_t capacity_ = 0;
    std::uint64_t leased_ = 0;
    std::uint64_t allocated_ = 0;
};

}  // namespace cubar::transport
