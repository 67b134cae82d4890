// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/address_space.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>

using namespace cubar::softgpu::device;

TEST_CASE("a range allocator gives the lowest fitting part and joins what comes back") {
    RangeAllocator ranges(0x1000, 0x1000);
    CHECK(ranges.take(0x100, 0x10) == 0x1000u);
    CHECK(ranges.take(0x100, 0x800) == 0x1800u);
    CHECK(ranges.take(0x700, 1) == 0x1100u);
    CHECK(ranges.take(0x701, 1) == std::nullopt);
    ranges.give(0x1000, 0x100);
    ranges.give(0x1800, 0x100);
    CHECK_FALSE(ranges.whole());
    ranges.give(0x1100, 0x700);
    CHECK(ranges.whole());
    CHECK(ranges.take(0x1000, 0x1000) == 0x1000u);
}

TEST_CASE("a range allocator takes a wanted place or nothing") {
    RangeAllocator ranges(0x1000, 0x1000);
    CHECK(ranges.take_at(0x1400, 0x400) == 0x1400u);
    CHECK(ranges.take_at(0x1700, 0x200) == std::nullopt);
    CHECK(ranges.take_at(0x0f00, 0x200) == std::nullopt);
    CHECK(ranges.take_at(0x1f00, 0x200) == std::nullopt);
    CHECK(ranges.take(0, 1) == std::nullopt);
    CHECK(ranges.take(0x1001, 1) == std::nullopt);
}

TEST_CASE("random requests never overlap, and all of the range comes back") {
    constexpr unsigned kSeed = 20261;
    INFO("seed " << kSeed);
    std::mt19937 random(kSeed);
    RangeAllocator ranges(0, 1 << 20);
    std::map<Address, std::size_t> taken;
    for (int step = 0; step < 4000; ++step) {
        if (random() % 3 != 0 || taken.empty()) {
            const std::size_t size = 1 + random() % 5000;
            const std::size_t alignment = std::size_t{1} << random() % 12;
            const auto begin = ranges.take(size, alignment);
            if (!begin) continue;
            REQUIRE(*begin % alignment == 0);
            const auto next = taken.lower_bound(*begin);
            REQUIRE((next == taken.end() || next->first >= *begin + size));
            REQUIRE((next == taken.begin() ||
                     std::prev(next)->first + std::prev(next)->second <= *begin));
            taken.emplace(*begin, size);
        } else {
            auto victim = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
            ranges.give(victim->first, victim->second);
            taken.erase(victim);
        }
    }
    for (const auto& [begin, size] : taken) ranges.give(begin, size);
    CHECK(ranges.whole());
}

TEST_CASE("committed memory is zeroed, also when it is used again") {
    AddressSpace space(false);
    REQUIRE(space.valid());
    for (int round = 0; round < 2; ++round) {
        const auto begin = space.reserve(kPageSize, kPageSize);
        REQUIRE(begin);
        CHECK(*begin % kPageSize == 0);
        REQUIRE(space.commit(*begin, kPageSize));
        auto* bytes = reinterpret_cast<unsigned char*>(*begin);
        CHECK(bytes[0] == 0);
        CHECK(bytes[kPageSize - 1] == 0);
        std::memset(bytes, 0xab, kPageSize);
        space.decommit(*begin, kPageSize);
        space.release(*begin, kPageSize);
    }
}

#ifndef __SANITIZE_ADDRESS__  // whose shadow memory lies where the strict window would
TEST_CASE("the strict window lies where other processes map") {
    AddressSpace kind(false);
    AddressSpace strict(true);
    REQUIRE(kind.valid());
    REQUIRE(strict.valid());
    CHECK(strict.begin() < kind.begin());
}
#endif
