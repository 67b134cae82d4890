// SPDX-License-Identifier: Apache-2.0
// Memory that threads take from their stack at run time. Frames of calls grow up from the bottom of
// local memory, and this grows down from its top, so that each lane may take what it likes.
#include "softgpu/exec/stack.h"

#include "softgpu/exec/block.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::Opcode;

template <class T>
const Insn* allocate(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    const uint64_t floor = warp.frame->local_base + warp.frame->code->frame_bytes;
    T* const to = lanes<T>(warp, insn->op[0]);
    const T* const size = lanes<T>(warp, insn->op[1]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const uint64_t top = warp.stack_top[lane];
        const uint64_t room = top > floor ? top - floor : 0;
        const uint64_t at = (top - size[lane]) & ~(insn->imm - 1);
        if (size[lane] > room || at < floor) {
            return warp.block->fail(warp, insn, FaultKind::kStackOverflow, 0,
                                    "alloca asks for more than is left of the stack");
        }
        warp.stack_top[lane] = at;
        to[lane] = T(at);
    }
    return insn + 1;
}

template <class T>
const Insn* save(Warp& base, const Insn* insn, uint32_t mask) {
    const WarpState& warp = state_of(base);
    T* const to = lanes<T>(warp, insn->op[0]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) != 0) to[lane] = T(warp.stack_top[lane]);
    }
    return insn + 1;
}

template <class T>
const Insn* restore(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    const T* const from = lanes<T>(warp, insn->op[0]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        // Only what stacksave gave, which no allocation since can be above.
        if (from[lane] < warp.stack_top[lane] || from[lane] > warp.local_bytes) {
            return warp.block->fail(warp, insn, FaultKind::kIllegalInstruction, from[lane],
                                    "stackrestore of a value that stacksave did not give");
        }
        warp.stack_top[lane] = from[lane];
    }
    return insn + 1;
}

}  // namespace

Handler find_stack(Opcode opcode, unsigned bits) {
    const bool wide = bits == 64;
    switch (opcode) {
        case Opcode::kAlloca:
            return wide ? allocate<uint64_t> : allocate<uint32_t>;
        case Opcode::kStacksave:
            return wide ? save<uint64_t> : save<uint32_t>;
        case Opcode::kStackrestore:
            return wide ? restore<uint64_t> : restore<uint32_t>;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec
