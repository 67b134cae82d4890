// SPDX-License-Identifier: Apache-2.0
// The scalar video instructions: one part of each operand, widened; the result saturated, and then
// combined with a third operand or merged into it.
#include <algorithm>

#include "softgpu/exec/video.h"
#include "softgpu/exec/video_part.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::Modifier;
using ptx::Opcode;
using ptx::Operation;
using ptx::Type;

int64_t pick(uint32_t word, WordPart part, bool is_signed) {
    return widen(word >> part.at, part.bits, is_signed);
}

// More than any word holds, with none of its bits.
constexpr int64_t kBeyond = int64_t{1} << 32;

// The whole of the first operation.
int64_t operate(const ScalarVideoForm& form, int64_t a, int64_t b) {
    const auto distance = [&] { return form.wraps ? b & 31 : std::min<int64_t>(b, 32); };
    switch (form.opcode) {
        case Opcode::kVadd:
            return a + b;
        case Opcode::kVsub:
            return a - b;
        case Opcode::kVabsdiff:
            return a < b ? b - a : a - b;
        case Opcode::kVmin:
            return std::min(a, b);
        case Opcode::kVmax:
            return std::max(a, b);
        case Opcode::kVshl:
            // 32 leaves nothing but something to saturate.
            if (distance() == 32) return a == 0 ? 0 : a < 0 ? -kBeyond : kBeyond;
            return a * (int64_t{1} << distance());
        case Opcode::kVshr:
            return a >> distance();
        default:
            return holds(form.compare, a, b) ? 1 : 0;
    }
}

// Two words' product with another added, and its negation.
__extension__ using Wide = __int128;

// As the PTX ISA has it: what is negated is complemented, and one is added to the sum; so an
// unsigned c that is negated is taken for a signed one.
uint32_t multiply_add(const ScalarVideoForm& form, int64_t a, int64_t b, uint32_t c) {
    const bool is_signed = form.signed_a || form.signed_b || form.negates_product || form.negates_c;
    const unsigned more = form.plus_one || form.negates_product || form.negates_c ? 1 : 0;
    Wide product = Wide{a} * b;
    if (form.negates_product) product = ~product;
    if (form.negates_c) c = ~c;
    Wide sum = (product + widen(c, 32, is_signed) + more) >> form.shift;
    if (form.sat) {
        const Wide most = is_signed ? INT32_MAX : UINT32_MAX;
        const Wide least = is_signed ? INT32_MIN : 0;
        sum = std::min(std::max(sum, least), most);
    }
    return uint32_t(sum);
}

uint32_t compute(const ScalarVideoForm& form, uint32_t a, uint32_t b, uint32_t c) {
    const int64_t x = pick(a, form.a, form.signed_a);
    const int64_t y = pick(b, form.b, form.signed_b);
    if (form.opcode == Opcode::kVmad) return multiply_add(form, x, y, c);
    int64_t first = operate(form, x, y);
    if (form.sat) first = clamp_to(first, form.d.bits, form.signed_d);
    const auto value = uint32_t(first);
    if (form.d.bits != 32) {
        const uint32_t where = ((uint32_t{1} << form.d.bits) - 1) << form.d.at;
        return (c & ~where) | (value << form.d.at & where);
    }
    const auto less = [&] { return widen(value, 32, form.signed_d) < widen(c, 32, form.signed_d); };
    switch (form.second) {
        case Operation::kAdd:
            return value + c;
        case Operation::kMin:
            return less() ? value : c;
        case Operation::kMax:
            return less() ? c : value;
        default:
            return value;
    }
}

const Insn* scalar_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto& form = *reinterpret_cast<const ScalarVideoForm*>(insn->imm);
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[3]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) != 0) d[lane] = compute(form, a[lane], b[lane], c[lane]);
    }
    return insn + 1;
}

bool is_scalar(Opcode opcode) {
    switch (opcode) {
        case Opcode::kVadd:
        case Opcode::kVsub:
        case Opcode::kVabsdiff:
        case Opcode::kVmin:
        case Opcode::kVmax:
        case Opcode::kVshl:
        case Opcode::kVshr:
        case Opcode::kVmad:
        case Opcode::kVset:
            return true;
        default:
            return false;
    }
}

}  // namespace

Handler find_scalar_video(const Key& key, ScalarVideoForm& form) {
    if (!is_scalar(key.opcode)) return nullptr;
    const bool set = key.opcode == Opcode::kVset;
    form.opcode = key.opcode;
    form.compare = key.compare;
    form.second = key.has(Modifier::kAdd)   ? Operation::kAdd
                  : key.has(Modifier::kMin) ? Operation::kMin
                  : key.has(Modifier::kMax) ? Operation::kMax
                                            : Operation::kNone;
    form.signed_d = !set && key.type[0] == Type::kS32;
    form.signed_a = key.type[set ? 0 : 1] == Type::kS32;
    form.signed_b = key.type[set ? 1 : 2] == Type::kS32;
    form.sat = key.sat;
    form.wraps = key.has(Modifier::kWrap);
    form.plus_one = key.has(Modifier::kPo);
    form.shift = key.has(Modifier::kShr7) ? 7 : key.has(Modifier::kShr15) ? 15 : 0;
    return scalar_lanes;
}

}  // namespace cubar::softgpu::exec
