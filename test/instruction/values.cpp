// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/values.h"

#include <bit>

namespace cubar::instruction {
namespace {

using Values = std::vector<std::uint64_t>;

Values integer_edges(unsigned bits) {
    const std::uint64_t all = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    const std::uint64_t top = std::uint64_t{1} << (bits - 1);
    Values values{0,
                  1,
                  2,
                  3,
                  7,
                  all,
                  all - 1,
                  top,
                  top - 1,
                  top + 1,
                  31 & all,
                  32 & all,
                  33 & all,
                  64 & all,
                  0x5555555555555555 & all,
                  0xaaaaaaaaaaaaaaaa & all,
                  0x00ff00ff00ff00ff & all,
                  0x8080808080808080 & all,
                  (all >> (bits / 2)),
                  all & ~(all >> (bits / 2))};
    return values;
}

// Zeros, subnormals, the ends of the normal range, infinities, NaN, halves (ties), powers of two.
Values float_edges(unsigned mantissa, unsigned exponent) {
    const std::uint64_t sign = std::uint64_t{1} << (mantissa + exponent);
    const std::uint64_t infinity = ((std::uint64_t{1} << exponent) - 1) << mantissa;
    const std::uint64_t bias = (std::uint64_t{1} << (exponent - 1)) - 1;
    const std::uint64_t one = bias << mantissa;
    const std::uint64_t half_unit = std::uint64_t{1} << (mantissa - 1);
    const std::uint64_t step = std::uint64_t{1} << mantissa;
    const Values positive{0,
                          1,
                          step - 1,
                          half_unit,
                          step,
                          step + 1,
                          infinity - 1,
                          infinity,
                          infinity | half_unit,
                          one,
                          one + 1,
                          one - 1,
                          one - step,
                          one + step,
                          one | half_unit,
                          (one + step) | (half_unit >> 1),
                          (bias + mantissa) << mantissa,
                          (bias + mantissa + 1) << mantissa};
    Values values;
    for (std::uint64_t value : positive) {
        values.push_back(value);
        values.push_back(value | sign);
    }
    return values;
}

Values halves_edges(const Values& edges) {
    Values values;
    for (std::size_t i = 0; i < edges.size(); ++i) {
        values.push_back(edges[i] | edges[(i * 7 + 3) % edges.size()] << 16);
    }
    return values;
}

Values edges_of(Kind kind) {
    switch (kind) {
        case Kind::kB16:
            return integer_edges(16);
        case Kind::kB32:
            return integer_edges(32);
        case Kind::kB64:
            return integer_edges(64);
        case Kind::kCount: {
            Values values;
            for (std::uint64_t i = 0; i < 70; ++i) values.push_back(i);
            values.insert(values.end(), {255, 256, 0x80000000, 0xffffffff});
            return values;
        }
        case Kind::kF16:
            return float_edges(10, 5);
        case Kind::kBf16:
            return float_edges(7, 8);
        case Kind::kF16x2:
            return halves_edges(float_edges(10, 5));
        case Kind::kBf16x2:
            return halves_edges(float_edges(7, 8));
        case Kind::kF32:
            return float_edges(23, 8);
        case Kind::kF64:
            return float_edges(52, 11);
        case Kind::kUnit:
            return {0, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x40490fdb};
        case Kind::kPredicate:
            return {0, 1};
    }
    return {};
}

std::uint64_t random_value(Kind kind, std::mt19937_64& random) {
    const std::uint64_t bits = random();
    switch (kind) {
        case Kind::kCount:
            return bits % 40;
        case Kind::kPredicate:
            return bits & 1;
        case Kind::kUnit: {
            // Uniform in (-8, 8).
            const auto value = static_cast<float>(static_cast<double>(bits >> 11) * 0x1p-49 - 8.0);
            return std::bit_cast<std::uint32_t>(value);
        }
        case Kind::kF32:
            // Half of them of like size, so that sums and products do not just overflow.
            if (bits >> 63) return (bits & 0x80ffffff) | 0x3e000000 | (bits >> 32 & 0x01000000);
            return bits & 0xffffffff;
        case Kind::kF64:
            if (bits & 1) return (bits & 0x801fffffffffffff) | 0x3fe0000000000000;
            return bits;
        default:
            return bits_of(kind) == 64 ? bits : bits & ((std::uint64_t{1} << bits_of(kind)) - 1);
    }
}

}  // namespace

unsigned bits_of(Kind kind) {
    switch (kind) {
        case Kind::kB16:
        case Kind::kF16:
        case Kind::kBf16:
            return 16;
        case Kind::kB64:
        case Kind::kF64:
            return 64;
        default:
            return 32;
    }
}

Rows make_inputs(const std::vector<Kind>& kinds, std::size_t count, std::mt19937_64& random) {
    std::vector<Values> edges;
    for (Kind kind : kinds) edges.push_back(edges_of(kind));
    Rows rows(count);
    for (std::size_t i = 0; i < count; ++i) {
        // The first part walks the product of the edges of the first two operands.
        std::size_t position = i;
        const bool walk = i < count * 3 / 4;
        for (std::size_t k = 0; k < kinds.size(); ++k) {
            const Values& values = edges[k];
            if (walk && k < 2) {
                rows[i][k] = values[position % values.size()];
                position /= values.size();
                if (k == 0 && kinds.size() > 1 && position >= edges[1].size()) {
                    rows[i][k] = random_value(kinds[k], random);
                }
            } else if (random() % 3 == 0) {
                rows[i][k] = values[random() % values.size()];
            } else {
                rows[i][k] = random_value(kinds[k], random);
            }
        }
    }
    return rows;
}

}  // namespace cubar::instruction
