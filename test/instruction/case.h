// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cubar::instruction {

// How an operand is held in a register, compared, and which values are tried for it.
enum class Kind : std::uint8_t {
    kB16,
    kB32,
    kB64,    // bits and integers
    kCount,  // 32 bits, mostly small: shift amounts, positions, lengths
    kF16,
    kBf16,
    kF16x2,
    kBf16x2,
    kF32,
    kF64,
    kUnit,  // f32 of modest size, for approximations with a bounded domain
    kPredicate,
};

unsigned bits_of(Kind kind);

inline constexpr std::size_t kMaxOperands = 16;
// One thread's operands or results, each in the low bits of a word.
using Row = std::array<std::uint64_t, kMaxOperands>;
using Rows = std::vector<Row>;

// What the results must be, computed on the host, for all threads at once.
using Reference = std::function<void(const Rows& in, Rows& out)>;

// A tolerance; 0 everywhere: bit by bit (any NaN is as good as another).
struct Tolerance {
    double relative = 0;
    double absolute = 0;
};

struct Case {
    std::string name;
    std::vector<Kind> inputs;   // registers %a0, %a1 …
    std::vector<Kind> outputs;  // registers %d0, %d1 …, zero at first
    std::string code;           // PTX that reads the one and writes the other; %tid is free to use
    Reference reference;
    Tolerance tolerance{};
    std::string prelude{};  // PTX at module scope
    int needs = 75;         // the compute capability that has the instruction
    unsigned blocks = 4;
    unsigned threads = 256;
    std::function<void(Rows&)> adjust{};  // makes the random operands fit the case
};

// Makes a reference of a function on one thread's operands.
template <typename Function>
Reference per_thread(Function function) {
    return [function](const Rows& in, Rows& out) {
        for (std::size_t i = 0; i < in.size(); ++i) function(in[i], out[i]);
    };
}

// Makes a reference of a function on a warp: 32 threads' operands and results.
template <typename Function>
Reference per_warp(Function function) {
    return [function](const Rows& in, Rows& out) {
        for (std::size_t i = 0; i + 32 <= in.size(); i += 32) function(&in[i], &out[i]);
    };
}

using Cases = std::vector<Case>;

void add_integer_cases(Cases& cases);
void add_bit_cases(Cases& cases);
void add_carry_cases(Cases& cases);
void add_float_cases(Cases& cases);
void add_half_cases(Cases& cases);
void add_approximate_cases(Cases& cases);
void add_convert_cases(Cases& cases);
void add_compare_cases(Cases& cases);
void add_memory_cases(Cases& cases);
void add_atomic_cases(Cases& cases);
void add_warp_cases(Cases& cases);
void add_control_cases(Cases& cases);
void add_video_cases(Cases& cases);
void add_mma_cases(Cases& cases);
void add_wmma_cases(Cases& cases);
void add_matrix_cases(Cases& cases);
void add_async_cases(Cases& cases);
void add_bulk_cases(Cases& cases);
void add_packed_cases(Cases& cases);
void add_narrow_cases(Cases& cases);

}  // namespace cubar::instruction
