// SPDX-License-Identifier: Apache-2.0
#include "driver/integrity.h"

#include <algorithm>

namespace cubar::driver {
namespace {

constexpr std::size_t kBlockSize = 16;

// RFC 1319's substitution, made of the digits of pi.
constexpr std::array<std::uint8_t, 256> kSubstitution{
    41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,  98,  167, 5,
    243, 192, 199, 115, 140, 152, 147, 43,  217, 188, 76,  130, 202, 30,  155, 87,  60,  253, 212,
    224, 22,  103, 66,  111, 24,  138, 23,  229, 18,  190, 78,  196, 214, 218, 158, 222, 73,  160,
    251, 245, 142, 187, 47,  238, 122, 169, 104, 121, 145, 21,  178, 7,   63,  148, 194, 16,  137,
    11,  34,  95,  33,  128, 127, 93,  154, 90,  144, 50,  39,  53,  62,  204, 231, 191, 247, 151,
    3,   255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,  170, 198, 79,  184,
    56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241, 69,  157, 112, 89,  100,
    113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,   27,  96,  37,  173, 174, 176, 185, 246,
    28,  70,  97,  105, 52,  64,  126, 15,  85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249,
    206, 186, 197, 234, 38,  44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129,
    77,  82,  106, 220, 55,  200, 108, 193, 171, 250, 36,  225, 123, 8,   12,  189, 177, 74,  120,
    136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254, 59,  0,   29,  57,  242, 239, 183, 14,
    102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,  49,  68,  80,  180, 143, 237, 31,
    26,  219, 153, 141, 51,  159, 17,  131, 20};

// The key that both sides know.
constexpr std::array<std::uint8_t, kBlockSize> kKey{0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
                                                    0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};

// RFC 2104's inner and outer keys.
std::array<std::byte, kBlockSize> padded_key(std::uint8_t pad) noexcept {
    std::array<std::byte, kBlockSize> key;
    std::ranges::transform(kKey, key.begin(), [pad](std::uint8_t value) {
        return static_cast<std::byte>(value ^ pad);
    });
    return key;
}

}  // namespace

void Md2::update(std::span<const std::byte> data) noexcept {
    std::ranges::for_each(data, [this](std::byte value) { update(value); });
}

void Md2::update(std::byte value) noexcept {
    const auto input = std::to_integer<std::uint8_t>(value);
    state_[kBlockSize + filled_] = input;
    state_[2 * kBlockSize + filled_] = static_cast<std::uint8_t>(state_[filled_] ^ input);
    checksum_[filled_] =
        static_cast<std::uint8_t>(checksum_[filled_] ^ kSubstitution[input ^ last_]);
    last_ = checksum_[filled_];
    if (++filled_ == kBlockSize) {
        mix();
        filled_ = 0;
    }
}

void Md2::mix() noexcept {
    constexpr std::uint8_t kRounds = 18;
    std::uint8_t chain = 0;
    for (std::uint8_t round = 0; round < kRounds; ++round) {
        for (std::uint8_t& value : state_) {
            value = static_cast<std::uint8_t>(value ^ kSubstitution[chain]);
            chain = value;
        }
        chain = static_cast<std::uint8_t>(chain + round);
    }
}

Digest Md2::finish() noexcept {
    const auto padding = static_cast<std::byte>(kBlockSize - filled_);
    do {
        update(padding);
    } while (filled_ != 0);
    const auto checksum = checksum_;
    update(std::as_bytes(std::span(checksum)));
    Digest digest;
    std::transform(state_.begin(), state_.begin() + kBlockSize, digest.begin(),
                   [](std::uint8_t value) { return static_cast<std::byte>(value); });
    return digest;
}

Digest integrity_digest(const IntegrityFacts& facts,
                        std::span<const DeviceIdentity> devices) noexcept {
    Md2 inner;
    inner.update(padded_key(0x36));
    inner.update(std::as_bytes(std::span(&facts, 1)));
    inner.update(std::as_bytes(devices));
    Md2 outer;
    outer.update(padded_key(0x5c));
    outer.update(inner.finish());
    return outer.finish();
}

}  // namespace cubar::driver
