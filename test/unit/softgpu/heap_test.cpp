// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/heap.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace cubar::softgpu::device;

TEST_CASE("a heap gives out exactly its capacity and takes it back") {
    AddressSpace space(false);
    Heap heap(space, 8 * kPageSize + 4711);
    CHECK(heap.capacity() == 8 * kPageSize);
    std::vector<Address> taken;
    while (const auto address = heap.allocate(kPageSize)) {
        CHECK(*address % kPageSize == 0);
        taken.push_back(*address);
    }
    CHECK(taken.size() == 8);
    CHECK(heap.available() == 0);
    CHECK(heap.allocate(1) == std::nullopt);
    for (const Address address : taken) heap.free(address);
    CHECK(heap.available() == heap.capacity());
    CHECK(heap.allocate(heap.capacity() + 1) == std::nullopt);
    CHECK(heap.allocate(0) == std::nullopt);
}

TEST_CASE("small allocations share pages, aligned to 512 bytes") {
    AddressSpace space(false);
    Heap heap(space, 4 * kPageSize);
    const auto first = heap.allocate(1);
    const auto second = heap.allocate(513);
    const auto third = heap.allocate(512);
    REQUIRE((first && second && third));
    CHECK(*second == *first + 512);
    CHECK(*third == *first + 1536);
    CHECK(heap.available() == 3 * kPageSize);
    heap.free(*second);
    CHECK(heap.allocate(1024) == *second);
    heap.free(*first);
    heap.free(*second);
    heap.free(*third);
    CHECK(heap.available() == heap.capacity());
}

TEST_CASE("a request that needs more than is left leaves the heap as it was") {
    AddressSpace space(false);
    Heap heap(space, 4 * kPageSize);
    REQUIRE(heap.allocate(3 * kPageSize));
    CHECK(heap.allocate(2 * kPageSize) == std::nullopt);
    CHECK(heap.available() == kPageSize);
    CHECK(heap.allocate(kPageSize));
}
