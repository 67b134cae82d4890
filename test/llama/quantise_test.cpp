// SPDX-License-Identifier: Apache-2.0
// Reads blocks back by the published layouts, value by value, where quantise.cpp writes them in
// order.
#include "quantise.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <vector>

using llama::Type;

namespace {

using Block = const uint8_t*;

/// By its definition, with pow instead of bits.
float half(Block at) {
    const int bits = at[0] | at[1] << 8;
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 1023;
    const double magnitude = exponent == 0 ? fraction * std::pow(2, -24)
                                           : (1024 + fraction) * std::pow(2, exponent - 25);
    return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

float f32(Block block, size_t) {
    float value = 0;
    std::memcpy(&value, block, 4);
    return value;
}

float f16(Block block, size_t) {
    return half(block);
}

float q4_0(Block block, size_t i) {
    const int nibble = block[2 + i % 16] >> (i < 16 ? 0 : 4) & 15;
    return half(block) * static_cast<float>(nibble - 8);
}

float q8_0(Block block, size_t i) {
    return half(block) * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

float q4_k(Block block, size_t i) {
    const size_t b = i / 32;
    Block packed = block + 4;
    const int scale = b < 4 ? packed[b] & 63 : (packed[b + 4] & 15) | packed[b - 4] >> 6 << 4;
    const int floor = b < 4 ? packed[b + 4] & 63 : packed[b + 4] >> 4 | packed[b] >> 6 << 4;
    const int nibble = block[16 + b / 2 * 32 + i % 32] >> (b % 2 * 4) & 15;
    return half(block) * static_cast<float>(scale * nibble) -
           half(block + 2) * static_cast<float>(floor);
}

float q6_k(Block block, size_t i) {
    const size_t part = i / 128;
    const size_t quarter = i % 128 / 32;
    const size_t column = i % 32;
    const int low = block[part * 64 + quarter % 2 * 32 + column] >> (quarter < 2 ? 0 : 4) & 15;
    const int high = block[128 + part * 32 + column] >> (quarter * 2) & 3;
    const auto scale = static_cast<int8_t>(block[192 + i / 16]);
    return half(block + 208) * static_cast<float>(scale * ((low | high << 4) - 32));
}

struct Reader {
    Type type;
    float (*read)(Block block, size_t i);
    double error;  ///< The largest energy of the error, by that of the values.
};

constexpr Reader readers[] = {
    {Type::F32, f32, 0},      {Type::F16, f16, 1e-7},    {Type::Q4_0, q4_0, 0.012},
    {Type::Q8_0, q8_0, 1e-4}, {Type::Q4_K, q4_k, 0.012}, {Type::Q6_K, q6_k, 1e-3},
};

/// Of all sizes and signs, and no two blocks alike.
std::vector<float> values(float scale) {
    std::vector<float> all(1024);
    uint32_t state = 1;
    for (float& value : all) {
        state = state * 1664525 + 1013904223;
        value = (static_cast<float>(state >> 8) / 0x800000 - 1) * scale;
    }
    return all;
}

double error(const Reader& reader, const std::vector<float>& written) {
    std::vector<uint8_t> stored;
    llama::quantise(reader.type, written, stored);
    REQUIRE(stored.size() == llama::stored_bytes(reader.type, written.size()));
    const size_t block = llama::block_values(reader.type);
    double wrong = 0;
    double all = 0;
    for (size_t i = 0; i < written.size(); ++i) {
        Block at = &stored[llama::stored_bytes(reader.type, i / block * block)];
        wrong += std::pow(reader.read(at, i % block) - written[i], 2);
        all += std::pow(written[i], 2);
    }
    return wrong / all;
}

}  // namespace

TEST_CASE("Each type is read back as it was meant") {
    for (const Reader& reader : readers) {
        CAPTURE(static_cast<uint32_t>(reader.type));
        CHECK(error(reader, values(1)) <= reader.error);
    }
}

TEST_CASE("Scales may be smaller than a half's smallest normal number") {
    // A Q6_K block of such values has a scale of about 1e-5.
    const Reader& q6_k_reader = readers[5];
    CHECK(error(q6_k_reader, values(0.05F)) <= q6_k_reader.error);
}

TEST_CASE("Nothing but zeros stays zero") {
    for (const Reader& reader : readers) {
        std::vector<float> zeros(256);
        std::vector<uint8_t> stored;
        llama::quantise(reader.type, zeros, stored);
        const size_t block = llama::block_values(reader.type);
        for (size_t i = 0; i < block; ++i) CHECK(reader.read(stored.data(), i) == 0);
    }
}
