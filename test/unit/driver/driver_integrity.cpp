// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "driver/integrity.h"

using namespace cubar::driver;

namespace {

std::string hex(const Digest& digest) {
    std::string result;
    for (const std::byte value : digest) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", std::to_integer<unsigned>(value));
        result += digits;
    }
    return result;
}

std::string md2(std::string_view text) {
    Md2 md2;
    md2.update(std::as_bytes(std::span(text)));
    return hex(md2.finish());
}

// The devices of the recorded runs.
std::vector<DeviceIdentity> devices(int count) {
    std::vector<DeviceIdentity> result;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        DeviceIdentity device{};
        for (int index = 0; index < 16; ++index) {
            device.uuid.bytes[index] = static_cast<char>(index * 17 + ordinal * 3 + 1);
        }
        device.pci_domain = ordinal * 2;
        device.pci_bus = ordinal + 3;
        device.pci_device = ordinal;
        result.push_back(device);
    }
    return result;
}

struct Recorded {
    int devices;
    IntegrityFacts facts;
    std::uint64_t answer[2];
};

// Of runs in which the static cudart of CUDA 13.0 took the answer and went on to cudaMalloc. With
// one bit of the first one's flipped it gave error 103, "integrity checks failed".
const std::vector<Recorded> kRecorded{
    {1,
     {13000, 13002, 11148, 2191814656, 0x7f2482a43dd0, 0x7f2482a43ed0, 0x7f2482a3b235, 1795476051},
     {0xe0c47380116dc800, 0x101764b970526068}},
    {3,
     {13000, 13002, 11149, 3840172032, 0x7f1ce4e42dd0, 0x7f1ce4e42ed0, 0x7f1ce4e3a235, 1795476051},
     {0x3877a7a4b8f2c916, 0xb5ea1102136f96f7}},
    {2,
     {13000, 13002, 12808, 4132704256, 0x7f34f653ddd0, 0x7f34f653ded0, 0x7f34f6535235, 1795476276},
     {0x1332806ac89c6576, 0xa88278355d27592a}},
};

}  // namespace

TEST_CASE("MD2 gives the digests of RFC 1319") {
    CHECK(md2("") == "8350e5a3e24c153df2275c9f80692773");
    CHECK(md2("a") == "32ec01ec4a6dac72c0ab96fb34c0b5d1");
    CHECK(md2("abc") == "da853b0d3f88d99b30283a69e6ded6bb");
    CHECK(md2("message digest") == "ab4f496bfb2a530b219ff33031fe06b0");
    CHECK(md2("abcdefghijklmnopqrstuvwxyz") == "4e8ddff3650292ab5a4108c3aa47940b");
    CHECK(md2("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") ==
          "da33def2a42df13975352846c30338cd");
    CHECK(md2("1234567890123456789012345678901234567890"
              "1234567890123456789012345678901234567890") == "d5976f79d83d3a0dc9806c3c66f3efd8");
}

TEST_CASE("the integrity digest is the one that cudart took") {
    for (const Recorded& run : kRecorded) {
        INFO(run.devices << " devices");
        const Digest digest = integrity_digest(run.facts, devices(run.devices));
        CHECK(std::memcmp(digest.data(), run.answer, sizeof run.answer) == 0);
    }
}

TEST_CASE("every bit of what goes in changes the integrity digest") {
    const Recorded& run = kRecorded[1];
    const auto identities = devices(run.devices);
    const Digest expected = integrity_digest(run.facts, identities);
    for (std::size_t bit = 0; bit < 8 * sizeof run.facts; ++bit) {
        IntegrityFacts facts = run.facts;
        reinterpret_cast<unsigned char*>(&facts)[bit / 8] ^=
            static_cast<unsigned char>(1U << (bit % 8));
        INFO("bit " << bit << " of the facts");
        CHECK(integrity_digest(facts, identities) != expected);
    }
    for (std::size_t bit = 0; bit < 8 * sizeof(DeviceIdentity) * identities.size(); ++bit) {
        auto changed = identities;
        reinterpret_cast<unsigned char*>(changed.data())[bit / 8] ^=
            static_cast<unsigned char>(1U << (bit % 8));
        INFO("bit " << bit << " of the devices");
        CHECK(integrity_digest(run.facts, changed) != expected);
    }
    CHECK(integrity_digest(run.facts, devices(2)) != expected);
}
