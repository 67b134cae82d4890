// SPDX-License-Identifier: Apache-2.0
// What instructions over matrices that a warp holds together need besides their key: decode fills
// it in, Insn::imm points to it. Plain data, as the handlers' translation units want it.
//
// All fragments are made of pieces of 8 rows (B: columns) by 16 bytes, f64's of 32 bytes: lane
// 4 * g + t holds the t-th quarter of line g in one register. Accumulators are made of pieces of 8
// by 8 elements: the same lane holds elements 2 * t and 2 * t + 1 of row g. That is the layout of
// mma in the PTX ISA; wmma's is not documented, and made of the same pieces here.
#pragma once

#include <cstdint>

#include "softgpu/exec/warp.h"

namespace cubar::softgpu::exec {

inline constexpr unsigned kMostFragmentRegisters = 8;
inline constexpr unsigned kPiece = 8;  // lines of a piece

/// d = a * b + c.
struct Multiplication {
    Slot d[kMostFragmentRegisters] = {};
    Slot a[kMostFragmentRegisters] = {};  // pieces of rows first, then along k
    Slot b[kMostFragmentRegisters] = {};  // pieces along k first, then of columns
    Slot c[kMostFragmentRegisters] = {};  // pieces of rows first, then of columns
    uint8_t row_pieces = 0;
    uint8_t column_pieces = 0;
    uint8_t depth_pieces = 0;
    bool a_signed = false;
    bool b_signed = false;
    bool c_half = false;
    bool d_half = false;
    bool saturate = false;      // .satfinite
    bool a_columns = false;     // mma.m8n8k4 of f16 only: A in columns,
    bool b_rows = false;        // B in rows
    bool exclusive_or = false;  // b1: .xor, else .and
};

/// A fragment between registers and memory.
struct FragmentAccess {
    Slot registers[kMostFragmentRegisters] = {};
    // The first line and the first element of the piece that each register belongs to.
    uint8_t line[kMostFragmentRegisters] = {};
    uint8_t element[kMostFragmentRegisters] = {};
    uint8_t count = 0;      // of registers
    uint8_t elements = 0;   // of a line in one register
    uint8_t lane_step = 0;  // elements from one lane to the next
    uint8_t bits = 0;       // of an element
    uint8_t register_bits = 0;
    bool along_lines = false;  // a line is contiguous in memory
    bool shared = false;       // addresses are those of .shared
    Slot stride = 0;           // in elements, from one line (or, across, one element) to the next
};

}  // namespace cubar::softgpu::exec
