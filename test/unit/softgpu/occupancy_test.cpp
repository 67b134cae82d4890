// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/occupancy.h"

#include <catch2/catch.hpp>

using namespace cubar::softgpu::device;

// Figures from NVIDIA's occupancy calculator.
TEST_CASE("each resource of a multiprocessor can be the one that limits") {
    const Architecture turing = Architecture::of(7, 5);
    CHECK(active_blocks(turing, {256, 32, 0}) == 4);      // threads
    CHECK(active_blocks(turing, {32, 16, 0}) == 16);      // blocks
    CHECK(active_blocks(turing, {256, 128, 0}) == 2);     // registers
    CHECK(active_blocks(turing, {128, 32, 20000}) == 3);  // shared memory
    CHECK(active_blocks(turing, {1024, 64, 0}) == 1);
    CHECK(active_blocks(turing, {1024, 65, 0}) == 0);
    CHECK(active_blocks(turing, {1025, 16, 0}) == 0);
    CHECK(active_blocks(turing, {128, 16, 65537}) == 0);

    const Architecture ampere = Architecture::of(8, 0);
    CHECK(active_blocks(ampere, {256, 32, 0}) == 8);
    CHECK(active_blocks(ampere, {256, 32, 48 << 10}) == 3);  // 49 KiB each with what is reserved
}

TEST_CASE("an architecture that is not in the table is like the nearest older one") {
    CHECK(Architecture::of(7, 2).threads_per_multiprocessor == 2048);
    CHECK(Architecture::of(7, 2).minor == 2);
    CHECK(Architecture::of(12, 1).threads_per_multiprocessor == 1536);
}

TEST_CASE("resident blocks share the multiprocessor's shared memory") {
    const Architecture turing = Architecture::of(7, 5);
    CHECK(shared_per_block(turing, 1) == 64u << 10);
    CHECK(shared_per_block(turing, 4) == 16u << 10);
    const Architecture ampere = Architecture::of(8, 0);
    CHECK(shared_per_block(ampere, 1) == 163u << 10);
    CHECK(shared_per_block(ampere, 2) == 81u << 10);
}
