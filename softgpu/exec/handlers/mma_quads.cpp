// SPDX-License-Identifier: Apache-2.0
// mma.m8n8k4 of f16: four products of 8 by 8 at once, each by two groups of four lanes (4 q to
// 4 q + 3 and the 16 above). Its fragments have layouts of their own, and A and B may each lie in
// rows or in columns. For numbers see mma.cpp.
#include "softgpu/exec/handlers/float_types.h"
#include "softgpu/exec/handlers/tile.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

constexpr unsigned kQuads = 4;
constexpr unsigned kSize = 8;  // rows and columns
constexpr unsigned kDepth = 4;

struct Place {
    unsigned row;
    unsigned column;
};

// Where element `index` of the lane lies in a fragment of 8 lines of 4: by line, or across.
Place place_in_factor(bool in_lines, unsigned lane, unsigned index) {
    const unsigned upper = lane >= 16 ? 4 : 0;
    return in_lines ? Place{lane % 4 + upper, index} : Place{index + upper, lane % 4};
}

Place place_in_sum(bool half, unsigned lane, unsigned index) {
    const unsigned upper = lane >= 16 ? 4 : 0;
    if (half) return {lane % 4 + upper, index};
    return {(lane & 1) + (index & 2) + upper, (index & 4) + (lane & 2) + (index & 1)};
}

float read_half(const Warp& warp, const Slot* registers, unsigned lane, unsigned index) {
    const uint32_t word = lanes<uint32_t>(warp, registers[index / 2])[lane];
    return half_to_float(uint16_t(word >> (16 * (index % 2))));
}

const Insn* multiply_quads(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const auto& form = *reinterpret_cast<const Multiplication*>(insn->imm);
    float a[kQuads][kSize][kDepth];  // [row][k]
    float b[kQuads][kSize][kDepth];  // [column][k]
    alignas(64) uint32_t result[kSize][kLanes] = {};
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        for (unsigned index = 0; index < kDepth; ++index) {
            const unsigned quad = lane % 16 / 4;
            const Place in_a = place_in_factor(!form.a_columns, lane, index);
            a[quad][in_a.row][in_a.column] = read_half(warp, form.a, lane, index);
            const Place in_b = place_in_factor(!form.b_rows, lane, index);
            b[quad][in_b.row][in_b.column] = read_half(warp, form.b, lane, index);
        }
    }
    float sums[kQuads][kSize][kSize];
    // Accumulators of f16 and of f32 spread their elements over the lanes differently.
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        for (unsigned index = 0; index < kSize; ++index) {
            const Place at = place_in_sum(form.c_half, lane, index);
            sums[lane % 16 / 4][at.row][at.column] = form.c_half
                                                         ? read_half(warp, form.c, lane, index)
                                                         : lanes<float>(warp, form.c[index])[lane];
        }
    }
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        const unsigned quad = lane % 16 / 4;
        for (unsigned index = 0; index < kSize; ++index) {
            const Place at = place_in_sum(form.d_half, lane, index);
            float sum = sums[quad][at.row][at.column];
            for (unsigned k = 0; k < kDepth; ++k) sum += a[quad][at.row][k] * b[quad][at.column][k];
            if (form.d_half) {
                result[index / 2][lane] |= uint32_t{float_to_half(sum)} << (16 * (index % 2));
            } else {
                result[index][lane] = sum != sum ? kNan32 : bits_of(sum);
            }
        }
    }
    for (unsigned part = 0; part < (form.d_half ? kSize / 2 : kSize); ++part) {
        store_lanes(lanes<uint32_t>(warp, form.d[part]), result[part], mask);
    }
    return insn + 1;
}

}  // namespace

Handler find_mma_quads(const Key& key) {
    return key.opcode == Opcode::kMma && key.in_quads ? multiply_quads : nullptr;
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
