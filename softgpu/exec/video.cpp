// SPDX-License-Identifier: Apache-2.0
// The SIMD video instructions: two halves or four bytes of a register at a time. Hardware since
// Kepler emulates them as well, so that one lane after the other will do.
#include "softgpu/exec/video.h"

#include <bit>

#include "softgpu/exec/video_part.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::Opcode;
using ptx::Type;

struct Shape {
    unsigned parts;
    unsigned bits;
};

Shape shape_of(const VideoForm& form) {
    return (form.flags & VideoForm::kFour) != 0 ? Shape{4, 8} : Shape{2, 16};
}

int64_t pick(uint64_t both, unsigned index, unsigned bits, bool is_signed) {
    return widen(both >> (index * bits), bits, is_signed);
}

int64_t compute(const VideoForm& form, int64_t a, int64_t b) {
    switch (form.opcode) {
        case Opcode::kVadd2:
        case Opcode::kVadd4:
            return a + b;
        case Opcode::kVsub2:
        case Opcode::kVsub4:
            return a - b;
        case Opcode::kVavrg2:
        case Opcode::kVavrg4:
            return (a + b + (a + b >= 0 ? 1 : 0)) >> 1;
        case Opcode::kVabsdiff2:
        case Opcode::kVabsdiff4:
            return a < b ? b - a : a - b;
        case Opcode::kVmin2:
        case Opcode::kVmin4:
            return a < b ? a : b;
        case Opcode::kVmax2:
        case Opcode::kVmax4:
            return a > b ? a : b;
        default:
            return holds(form.compare, a, b) ? 1 : 0;
    }
}

int64_t fit(const VideoForm& form, int64_t value, unsigned bits) {
    const bool is_signed = (form.flags & VideoForm::kSignedD) != 0;
    if ((form.flags & VideoForm::kSat) == 0) return widen(uint64_t(value), bits, is_signed);
    return clamp_to(value, bits, is_signed);
}

uint32_t combine(const VideoForm& form, uint32_t a, uint32_t b, uint32_t c) {
    const Shape shape = shape_of(form);
    const uint64_t both = uint64_t{b} << 32 | a;
    uint32_t result = c;
    for (unsigned part = 0; part < shape.parts; ++part) {
        if ((form.write >> part & 1) == 0) continue;
        const int64_t x = pick(both, form.select_a >> (4 * part) & 7, shape.bits,
                               (form.flags & VideoForm::kSignedA) != 0);
        const int64_t y = pick(both, form.select_b >> (4 * part) & 7, shape.bits,
                               (form.flags & VideoForm::kSignedB) != 0);
        const int64_t exact = compute(form, x, y);
        if ((form.flags & VideoForm::kAdd) != 0) {
            // What is accumulated keeps the bits that do not fit a part.
            result += uint32_t(exact);
        } else {
            const int64_t value = fit(form, exact, shape.bits);
            const uint32_t where = ((uint32_t{1} << shape.bits) - 1) << (part * shape.bits);
            result = (result & ~where) | (uint32_t(value) << (part * shape.bits) & where);
        }
    }
    return result;
}

const Insn* video_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto form = std::bit_cast<VideoForm>(insn->imm);
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[3]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) != 0) d[lane] = combine(form, a[lane], b[lane], c[lane]);
    }
    return insn + 1;
}

bool is_four(Opcode opcode) {
    switch (opcode) {
        case Opcode::kVadd4:
        case Opcode::kVsub4:
        case Opcode::kVavrg4:
        case Opcode::kVabsdiff4:
        case Opcode::kVmin4:
        case Opcode::kVmax4:
        case Opcode::kVset4:
            return true;
        default:
            return false;
    }
}

bool is_two(Opcode opcode) {
    switch (opcode) {
        case Opcode::kVadd2:
        case Opcode::kVsub2:
        case Opcode::kVavrg2:
        case Opcode::kVabsdiff2:
        case Opcode::kVmin2:
        case Opcode::kVmax2:
        case Opcode::kVset2:
            return true;
        default:
            return false;
    }
}

}  // namespace

Handler find_video(const Key& key, VideoForm& form) {
    const bool four = is_four(key.opcode);
    if (!four && !is_two(key.opcode)) return nullptr;
    const bool set = key.opcode == Opcode::kVset2 || key.opcode == Opcode::kVset4;
    const Type d = set ? Type::kU32 : key.type[0];
    const Type a = key.type[set ? 0 : 1];
    const Type b = key.type[set ? 1 : 2];
    form.opcode = key.opcode;
    form.compare = key.compare;
    form.select_a = four ? 0x3210 : 0x10;
    form.select_b = four ? 0x7654 : 0x32;
    form.write = four ? 0xf : 0x3;
    const auto flag = [&](bool on, uint8_t bit) { form.flags |= on ? bit : uint8_t{0}; };
    flag(four, VideoForm::kFour);
    flag(key.sat, VideoForm::kSat);
    flag(key.has(ptx::Modifier::kAdd), VideoForm::kAdd);
    flag(d == Type::kS32, VideoForm::kSignedD);
    flag(a == Type::kS32, VideoForm::kSignedA);
    flag(b == Type::kS32, VideoForm::kSignedB);
    return video_lanes;
}

}  // namespace cubar::softgpu::exec
