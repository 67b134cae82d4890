// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "driver/visible_devices.h"

using namespace cubar::driver;

namespace {

using Ordinals = std::vector<unsigned>;

// GPU-0a0b…, GPU-0a1b…, MIG-0a2b…, GPU-ff3b…: the rest of each UUID is zero.
std::array<PhysicalDevice, 4> devices() {
    std::array<PhysicalDevice, 4> result{};
    for (std::size_t index = 0; index < result.size(); ++index) {
        result[index].uuid.bytes[0] = static_cast<char>(index == 3 ? 0xff : 0x0a);
        result[index].uuid.bytes[1] = static_cast<char>(index * 16 + 0x0b);
        result[index].mig = index == 2;
    }
    return result;
}

Ordinals visible(const char* value) {
    const auto all = devices();
    std::array<unsigned, 4> ordinals{};
    const std::size_t count = visible_devices(value, all, ordinals);
    REQUIRE(count <= ordinals.size());
    return {ordinals.begin(), ordinals.begin() + static_cast<std::ptrdiff_t>(count)};
}

}  // namespace

TEST_CASE("without CUDA_VISIBLE_DEVICES all are visible, with an empty one none") {
    CHECK(visible(nullptr) == Ordinals{0, 1, 2, 3});
    CHECK(visible("").empty());
    CHECK(visible(" ").empty());
    CHECK(visible(",").empty());
}

TEST_CASE("numbers choose and order") {
    CHECK(visible("0") == Ordinals{0});
    CHECK(visible("3,1") == Ordinals{3, 1});
    CHECK(visible(" 2 , 0 ") == Ordinals{2, 0});
    CHECK(visible("+1") == Ordinals{1});
    CHECK(visible("3,2,1,0") == Ordinals{3, 2, 1, 0});
}

TEST_CASE("the first entry that names no device ends the list") {
    CHECK(visible("0,4,1") == Ordinals{0});
    CHECK(visible("-1,0").empty());
    CHECK(visible("1,-1,0") == Ordinals{1});
    CHECK(visible("1,,0") == Ordinals{1});
    CHECK(visible("1,") == Ordinals{1});
    CHECK(visible("none").empty());
    CHECK(visible("99999999999999999999").empty());
    CHECK(visible("1,GPU-ff") == Ordinals{1});
    CHECK(visible("NoDevFiles").empty());
}

TEST_CASE("a number ends where its digits end") {
    CHECK(visible("1gpu,2x") == Ordinals{1, 2});
}

TEST_CASE("a device named twice makes the list empty") {
    CHECK(visible("0,0").empty());
    CHECK(visible("0,1,0").empty());
    CHECK(visible("GPU-ff,GPU-ff3b").empty());
    CHECK(visible("0,9,0") == Ordinals{0});
}

TEST_CASE("UUIDs choose by what fits one device only") {
    CHECK(visible("GPU-0a1b0000-0000-0000-0000-000000000000") == Ordinals{1});
    CHECK(visible("GPU-ff,GPU-0a0") == Ordinals{3, 0});
    CHECK(visible("GPU-FF3B") == Ordinals{3});
    CHECK(visible("GPU-0a").empty());  // two
    CHECK(visible("GPU-0a1b0000-0000-0000-0000-0000000000000").empty());
    CHECK(visible("GPU-0a1b00000000").empty());
    CHECK(visible("GPU-").empty());
    CHECK(visible("GPU-ff,0") == Ordinals{3});
    CHECK(visible("gpu-ff").empty());
    CHECK(visible("ff").empty());
}

TEST_CASE("MIG instances go by their own prefix") {
    CHECK(visible("MIG-0a2b") == Ordinals{2});
    CHECK(visible("MIG-") == Ordinals{2});
    CHECK(visible("GPU-0a2b").empty());
    CHECK(visible("MIG-ff").empty());
}

TEST_CASE("without devices nothing is visible") {
    CHECK(visible_devices(nullptr, {}, {}) == 0);
    CHECK(visible_devices("0", {}, {}) == 0);
    CHECK(visible_devices("GPU-", {}, {}) == 0);
}
