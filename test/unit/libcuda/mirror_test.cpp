// SPDX-License-Identifier: Apache-2.0
// The guest's mirror of the host's objects: what an application's handle means, and when no more.
#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <thread>

#include "cubar/handle_table.h"

namespace cubar::guest::test {
namespace {

struct Thing {
    int value = 0;
};
using Things = HandleTable<Kind::kEvent, Thing>;
using ThingHandle = Handle<Kind::kEvent>;

bool mirror(Things& things, ThingHandle handle, int value) {
    return things.mirror(handle, [&](Thing& thing) { thing.value = value; });
}

}  // namespace

TEST_CASE("An object is found by its own handle only", "[mirror]") {
    const auto things = std::make_unique<Things>();
    REQUIRE(mirror(*things, ThingHandle(1, 7), 42));
    REQUIRE(things->find(ThingHandle(1, 7)) != nullptr);
    CHECK(things->find(ThingHandle(1, 7))->value == 42);
    CHECK(things->find(ThingHandle(2, 7)) == nullptr);
    CHECK(things->find(ThingHandle(1, 8)) == nullptr);
    CHECK(things->find(ThingHandle(StreamHandle(1, 7).bits())) == nullptr);
    // What applications pass by mistake.
    CHECK(things->find(ThingHandle(0)) == nullptr);
    CHECK(things->find(ThingHandle(1)) == nullptr);
    CHECK(things->find(ThingHandle(7)) == nullptr);
    CHECK(things->find(ThingHandle(~std::uint64_t{0})) == nullptr);
    CHECK(things->find(ThingHandle(0x7fff'1234'5678)) == nullptr);
}

TEST_CASE("A handle that outlived its object is told from the slot's next tenant", "[mirror]") {
    const auto things = std::make_unique<Things>();
    const ThingHandle first(1, 3);
    const ThingHandle second(2, 3);
    REQUIRE(mirror(*things, first, 1));
    CHECK(things->forget(first));
    CHECK_FALSE(things->forget(first));
    CHECK(things->find(first) == nullptr);
    REQUIRE(mirror(*things, second, 2));
    CHECK(things->find(first) == nullptr);
    CHECK_FALSE(things->forget(first));
    CHECK(things->find(second)->value == 2);
}

TEST_CASE("What is mirrored already stays as it is", "[mirror]") {
    const auto things = std::make_unique<Things>();
    REQUIRE(mirror(*things, ThingHandle(1, 3), 1));
    things->find(ThingHandle(1, 3))->value = 5;
    REQUIRE(mirror(*things, ThingHandle(1, 3), 1));
    CHECK(things->find(ThingHandle(1, 3))->value == 5);
}

TEST_CASE("A host that names what no table holds is refused", "[mirror]") {
    const auto things = std::make_unique<Things>();
    CHECK_FALSE(mirror(*things, ThingHandle(1, Things::kMaxEntries), 1));
    CHECK_FALSE(mirror(*things, ThingHandle(StreamHandle(1, 1).bits()), 1));
    CHECK_FALSE(mirror(*things, ThingHandle(), 1));
    CHECK(mirror(*things, ThingHandle(1, Things::kMaxEntries - 1), 1));
}

TEST_CASE("Objects go with what they lived in", "[mirror]") {
    const auto things = std::make_unique<Things>();
    for (std::uint32_t index = 0; index < 1000; ++index) {
        REQUIRE(mirror(*things, ThingHandle(1, index), static_cast<int>(index)));
    }
    things->forget_if([](ThingHandle, const Thing& thing) { return thing.value % 3 == 0; });
    std::size_t left = 0;
    things->for_each([&](ThingHandle handle, const Thing& thing) {
        ++left;
        CHECK(handle.index() == static_cast<std::uint32_t>(thing.value));
    });
    CHECK(left == 666);
    CHECK(things->find(ThingHandle(1, 999)) == nullptr);
    CHECK(things->find(ThingHandle(1, 998)) != nullptr);
}

TEST_CASE("Who looks while tenants change finds the right one or none", "[mirror]") {
    const auto things = std::make_unique<Things>();
    std::atomic<bool> done{false};
    std::atomic<bool> wrong{false};
    std::thread reader([&] {
        while (!done) {
            for (std::uint32_t generation = 1; generation < 50; ++generation) {
                const Thing* found = things->find(ThingHandle(generation, 1));
                const int value = found != nullptr ? found->value : 0;
                // Only as long as the handle still lives does the object belong to it.
                if (things->find(ThingHandle(generation, 1)) != nullptr && value != 0 &&
                    value != static_cast<int>(generation)) {
                    wrong = true;
                }
            }
        }
    });
    for (int round = 0; round < 2000; ++round) {
        const auto generation = static_cast<std::uint32_t>(round % 49 + 1);
        mirror(*things, ThingHandle(generation, 1), static_cast<int>(generation));
        things->forget(ThingHandle(generation, 1));
    }
    done = true;
    reader.join();
    CHECK_FALSE(wrong);
}

}  // namespace cubar::guest::test
