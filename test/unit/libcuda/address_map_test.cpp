// SPDX-License-Identifier: Apache-2.0
#include "libcuda/address_map.h"

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <latch>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "libcuda/own_memory.h"

namespace cubar::guest::test {
namespace {

MemoryRange range(std::uint64_t begin, std::uint64_t bytes) {
    MemoryRange made;
    made.begin = begin;
    made.bytes = bytes;
    return made;
}

constexpr std::uint64_t kPage = AddressReservations::kPageBytes;

/// Free address space, for reservations.
class Space {
public:
    explicit Space(std::uint64_t pages) : pages_(pages) {
        void* got = mmap(nullptr, (pages + 1) * kPage, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(got != MAP_FAILED);
        REQUIRE(munmap(got, (pages + 1) * kPage) == 0);
        begin_ = (reinterpret_cast<std::uint64_t>(got) + kPage - 1) / kPage * kPage;
    }
    std::uint64_t page(std::uint64_t number) const { return begin_ + number * kPage; }
    bool reserved(std::uint64_t number) const {
        return is_mapped({reinterpret_cast<const std::byte*>(page(number)), kPage});
    }
    /// Pages that are reserved, as one number: page 0 is the lowest bit.
    unsigned pages() const {
        unsigned bits = 0;
        for (std::uint64_t number = 0; number < pages_; ++number) {
            bits |= (reserved(number) ? 1u : 0u) << number;
        }
        return bits;
    }
    /// Something of the guest's own.
    void occupy(std::uint64_t number) const {
        void* wanted = reinterpret_cast<void*>(page(number));
        REQUIRE(mmap(wanted, kPageBytes, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == wanted);
    }
    void vacate(std::uint64_t number) const {
        REQUIRE(munmap(reinterpret_cast<void*>(page(number)), kPageBytes) == 0);
    }

private:
    std::uint64_t pages_;
    std::uint64_t begin_ = 0;
};

}  // namespace

TEST_CASE("An address belongs to the range around it, from its first byte to its last",
          "[addresses]") {
    AddressMap map;
    map.add(range(1000, 100));
    map.add(range(1100, 50));
    CHECK_FALSE(map.find(999));
    CHECK(map.find(1000)->begin == 1000);
    CHECK(map.find(1099)->begin == 1000);
    CHECK(map.find(1100)->begin == 1100);
    CHECK(map.find(1149)->begin == 1100);
    CHECK_FALSE(map.find(1150));
}

TEST_CASE("Memory that is given out again displaces what was forgotten to be freed",
          "[addresses]") {
    AddressMap map;
    map.add(range(1000, 100));
    map.add(range(1200, 100));
    map.add(range(1400, 100));
    const std::uint64_t id = map.add(range(1050, 200));
    CHECK_FALSE(map.find(1000));
    CHECK(map.find(1249)->id == id);
    CHECK_FALSE(map.find(1299));
    CHECK(map.find(1400)->begin == 1400);
}

TEST_CASE("What must stand apart is refused wherever it overlaps", "[addresses]") {
    AddressMap map;
    map.add(range(1000, 100));
    CHECK_FALSE(map.add_apart(range(1000, 100)));
    CHECK_FALSE(map.add_apart(range(950, 51)));
    CHECK_FALSE(map.add_apart(range(1099, 1)));
    CHECK_FALSE(map.add_apart(range(900, 1000)));
    CHECK(map.add_apart(range(950, 50)));
    CHECK(map.add_apart(range(1100, 1)));
}

TEST_CASE("Each allocation has an id of its own, which a free that fails does not change",
          "[addresses]") {
    AddressMap map;
    const std::uint64_t first = map.add(range(1000, 100));
    const std::uint64_t second = map.add(range(2000, 100));
    CHECK(first != second);
    const auto removed = map.remove(1000);
    REQUIRE(removed);
    CHECK_FALSE(map.find(1000));
    map.restore(*removed);
    CHECK(map.find(1050)->id == first);
    map.remove(1000);
    CHECK(map.add(range(1000, 100)) != first);
}

TEST_CASE("A range is removed by its first address alone, and by one of two at once",
          "[addresses]") {
    AddressMap map;
    map.add(range(1000, 100));
    CHECK_FALSE(map.remove(1001));
    for (int round = 0; round < 200; ++round) {
        map.add(range(5000, 100));
        std::atomic<int> removed{0};
        const auto free = [&] { removed += map.remove(5000) ? 1 : 0; };
        std::thread other(free);
        free();
        other.join();
        REQUIRE(removed == 1);
    }
    CHECK(map.find(1000));
}

TEST_CASE("Mappings that follow one another hold bytes together, as far as they are accessible",
          "[addresses]") {
    AddressMap map;
    const auto add = [&](std::uint64_t begin, MemoryKind kind) {
        MemoryRange made = range(begin, 0x100);
        made.kind = kind;
        map.add(made);
    };
    for (const std::uint64_t begin : {0x1000u, 0x1100u, 0x1300u}) add(begin, MemoryKind::kMapped);
    add(0x1200, MemoryKind::kDevice);
    CHECK(map.holds(0x1080, 0x180));
    CHECK(map.holds(0x11ff, 1));
    CHECK_FALSE(map.holds(0x1080, 0x181));
    CHECK(map.holds(0x1200, 0x100));
    CHECK_FALSE(map.holds(0x1200, 0x101));
    CHECK_FALSE(map.holds(0x1400, 1));
    CHECK_FALSE(map.holds(0xfff, 1));

    unsigned visits = 0;
    const auto shut = [&](MemoryRange& mapping) {
        mapping.accessible = false;
        ++visits;
    };
    CHECK_FALSE(map.for_mappings(0x1000, 0x180, shut));
    CHECK_FALSE(map.for_mappings(0x1000, 0x300, shut));
    CHECK_FALSE(map.for_mappings(0x1080, 0x80, shut));
    CHECK_FALSE(map.for_mappings(0x1000, 0, shut));
    CHECK(visits == 0);
    CHECK(map.for_mappings(0x1000, 0x200, [&](const MemoryRange&) { ++visits; }));
    CHECK(visits == 2);
    CHECK(map.for_mappings(0x1100, 0x100, shut));
    CHECK(map.holds(0x1080, 0x80));
    CHECK_FALSE(map.holds(0x1080, 0x81));
}

TEST_CASE("A context takes its own ranges with it and no others", "[addresses]") {
    AddressMap map;
    for (std::uint64_t number = 0; number < 10; ++number) {
        MemoryRange one = range(1000 * (number + 1), 100);
        one.context = ContextHandle(1, static_cast<std::uint32_t>(number % 2));
        map.add(one);
    }
    map.remove_if([](const MemoryRange& one) { return one.context == ContextHandle(1, 0); });
    for (std::uint64_t number = 0; number < 10; ++number) {
        CHECK(map.find(1000 * (number + 1)).has_value() == (number % 2 == 1));
    }
}

TEST_CASE("Allocations share pages, which stay reserved until the last is freed", "[addresses]") {
    const Space space(4);
    AddressReservations reservations;
    REQUIRE(reservations.reserve(space.page(0), kPage / 2));
    REQUIRE(reservations.reserve(space.page(0) + kPage / 2, kPage));
    CHECK(space.pages() == 0b0011);
    reservations.release(space.page(0), kPage / 2);
    CHECK(space.pages() == 0b0011);
    reservations.release(space.page(0) + kPage / 2, kPage);
    CHECK(space.pages() == 0);
}

TEST_CASE("A reservation that meets the guest's own memory is taken back whole", "[addresses]") {
    const Space space(8);
    AddressReservations reservations;
    // Pages 0 and 4 are in use by others; 6 is the program's.
    REQUIRE(reservations.reserve(space.page(0), kPage));
    REQUIRE(reservations.reserve(space.page(4), kPage));
    space.occupy(6);
    CHECK_FALSE(reservations.reserve(space.page(0), 8 * kPage));
    space.vacate(6);
    CHECK(space.pages() == 0b0001'0001);
    // Before a page that others use, too.
    space.occupy(2);
    CHECK_FALSE(reservations.reserve(space.page(0), 8 * kPage));
    space.vacate(2);
    CHECK(space.pages() == 0b0001'0001);
    // Nothing is counted still: what is free now can be had, and goes with its last user.
    REQUIRE(reservations.reserve(space.page(0), 8 * kPage));
    CHECK(space.pages() == 0xff);
    reservations.release(space.page(0), 8 * kPage);
    CHECK(space.pages() == 0b0001'0001);
    reservations.release(space.page(0), kPage);
    reservations.release(space.page(4), kPage);
    CHECK(space.pages() == 0);
}

TEST_CASE("Threads reserve and release the same pages at once", "[addresses]") {
    constexpr unsigned kThreads = 4;
    std::optional<Space> space;
    AddressReservations reservations;
    std::vector<std::thread> threads;
    std::atomic<int> refused{0};
    // The threads' own stacks and heaps come first, or they would take the free space.
    std::latch settled(kThreads);
    std::latch begin(1);
    for (unsigned number = 0; number < kThreads; ++number) {
        threads.emplace_back([&, number] {
            const auto heap = std::make_unique<unsigned>(number);
            settled.count_down();
            begin.wait();
            for (unsigned round = 0; round < 500; ++round) {
                const std::uint64_t address = space->page((*heap + round) % 6) + 17;
                if (reservations.reserve(address, 2 * kPage)) {
                    reservations.release(address, 2 * kPage);
                } else {
                    ++refused;
                }
            }
        });
    }
    settled.wait();
    space.emplace(8);
    begin.count_down();
    for (std::thread& thread : threads) thread.join();
    CHECK(refused == 0);
    CHECK(space->pages() == 0);
}

TEST_CASE("A range of this process's memory is known by its pages", "[addresses]") {
    const std::vector<std::byte> some(10 * kPageBytes);
    CHECK(is_mapped(some));
    CHECK(is_mapped({some.data() + 1, 1}));
    CHECK_FALSE(is_mapped({static_cast<const std::byte*>(nullptr), 1}));
    CHECK_FALSE(is_mapped({some.data(), ~std::size_t{0}}));
}

}  // namespace cubar::guest::test
