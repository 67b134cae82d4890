// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/handle_table.h"

#include <catch2/catch.hpp>

using namespace cubar::softgpu::device;

namespace {
struct Thing {
    int value = 0;
};
using Things = HandleTable<Thing, CUstream, HandleKind::kStream>;
using Others = HandleTable<Thing, CUstream, HandleKind::kEvent>;
}  // namespace

TEST_CASE("a handle finds its object until it is removed, and never again") {
    Things things;
    const CUstream handle = things.insert(std::make_shared<Thing>(Thing{7}));
    REQUIRE(things.find(handle) != nullptr);
    CHECK(things.find(handle)->value == 7);
    CHECK(things.remove(handle)->value == 7);
    CHECK(things.find(handle) == nullptr);
    CHECK(things.remove(handle) == nullptr);
    const CUstream next = things.insert(std::make_shared<Thing>(Thing{8}));
    CHECK(next != handle);
    CHECK(things.find(handle) == nullptr);
    CHECK(things.find(next)->value == 8);
}

TEST_CASE("handles of another kind, and what is no handle, find nothing") {
    Things things;
    Others others;
    const CUstream handle = things.insert(std::make_shared<Thing>());
    const CUstream other = others.insert(std::make_shared<Thing>());
    CHECK(others.find(handle) == nullptr);
    CHECK(things.find(other) == nullptr);
    CHECK(things.find(nullptr) == nullptr);
    CHECK(things.find(CU_STREAM_LEGACY) == nullptr);
    Thing local;
    CHECK(things.find(reinterpret_cast<CUstream>(&local)) == nullptr);
    CHECK(things.find(reinterpret_cast<CUstream>(~std::uintptr_t{0})) == nullptr);
}

TEST_CASE("a slot whose generations are used up is retired") {
    Things things;
    const CUstream first = things.insert(std::make_shared<Thing>());
    CUstream last = first;
    const auto slot = HandleBits::slot(reinterpret_cast<std::uintptr_t>(first));
    std::uint64_t uses = 1;
    const auto object = std::make_shared<Thing>();
    while (HandleBits::slot(reinterpret_cast<std::uintptr_t>(last)) == slot) {
        things.remove(last);
        last = things.insert(object);
        ++uses;
    }
    CHECK(uses == HandleBits::kLastGeneration + 1);
    CHECK(things.find(first) == nullptr);
}

TEST_CASE("a reserved handle gets its object, and keeps its name through several") {
    Things things;
    const CUstream handle = things.reserve();
    CHECK(things.find(handle) == nullptr);
    CHECK(things.objects().empty());
    things.set(handle, std::make_shared<Thing>(Thing{1}));
    CHECK(things.find(handle)->value == 1);
    CHECK(things.set(handle, nullptr)->value == 1);
    CHECK(things.find(handle) == nullptr);
    things.set(handle, std::make_shared<Thing>(Thing{2}));
    CHECK(things.find(handle)->value == 2);
}

TEST_CASE("objects are removed by what they are") {
    Things things;
    const CUstream odd = things.insert(std::make_shared<Thing>(Thing{1}));
    const CUstream even = things.insert(std::make_shared<Thing>(Thing{2}));
    CHECK(things.remove_if([](const Thing& thing) { return thing.value % 2 == 1; }).size() == 1);
    CHECK(things.find(odd) == nullptr);
    CHECK(things.find(even) != nullptr);
}
