// SPDX-License-Identifier: Apache-2.0
// Addresses that a host offers one after the other, of which the program has the first for itself.
#pragma once

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>

#include "libcuda/own_memory.h"

namespace cubar::guest::test {

inline constexpr std::uint64_t kOfferBytes = std::uint64_t{2} << 20;

class Offers {
public:
    Offers() {
        // Free by now, and nobody else maps anything of this size.
        constexpr std::size_t kBytes = 16 * kOfferBytes;
        void* got =
            mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(got != MAP_FAILED);
        REQUIRE(munmap(got, kBytes) == 0);
        first =
            (reinterpret_cast<std::uint64_t>(got) + kOfferBytes - 1) / kOfferBytes * kOfferBytes;
        taken_ = mmap(reinterpret_cast<void*>(first), kPageBytes, PROT_READ,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        REQUIRE(taken_ == reinterpret_cast<void*>(first));
    }
    ~Offers() { munmap(taken_, kPageBytes); }
    Offers(const Offers&) = delete;
    Offers& operator=(const Offers&) = delete;

    std::uint64_t next() { return first + kOfferBytes * made_++; }
    /// Whether this process keeps its own mappings away from there.
    static bool reserved(std::uint64_t address) {
        return is_mapped({reinterpret_cast<const std::byte*>(address), 1});
    }

    std::uint64_t first = 0;

private:
    void* taken_ = nullptr;
    std::uint64_t made_ = 0;
};

}  // namespace cubar::guest::test
