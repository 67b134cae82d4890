// SPDX-License-Identifier: Apache-2.0
// Divergence and reconvergence: a warp is a set of parts (lanes at the same place), of which one
// executes. The part in the deepest call and there at the lowest place goes first, so that those
// behind catch up and parts that meet become one.
#include "softgpu/exec/block.h"

namespace cubar::softgpu::exec {
namespace {

const Insn* const kNoLimit = reinterpret_cast<const Insn*>(~uintptr_t{0});

// Joins until a warp yields, and until a part that took its turn out of order gives it back.
constexpr int32_t kSlice = 16384;
constexpr int32_t kTurn = 256;

bool goes_before(const Part& a, const Part& b) {
    if (a.frame->depth != b.frame->depth) return a.frame->depth > b.frame->depth;
    return a.at < b.at;
}

unsigned choose(const WarpState& warp) {
    unsigned best = kLanes;
    for (unsigned index = 0; index < warp.part_count; ++index) {
        const Part& part = warp.parts[index];
        if (part.state != PartState::kReady) continue;
        if (best == kLanes) {
            best = index;
        } else if (warp.take_turns ? part.stamp < warp.parts[best].stamp
                                   : goes_before(part, warp.parts[best])) {
            best = index;
        }
    }
    return best;
}

bool any_in(const WarpState& warp, PartState state) {
    for (unsigned index = 0; index < warp.part_count; ++index) {
        if (warp.parts[index].state == state) return true;
    }
    return false;
}

// Nobody can go on, and lanes wait for others of the warp that will never come (they have exited,
// or wait elsewhere): those behind bar.warp.sync pass, else one part executes its instruction
// alone.
void break_wait(WarpState& warp) {
    bool passed = false;
    for (unsigned index = 0; index < warp.part_count; ++index) {
        if (warp.parts[index].state != PartState::kWarpBarrier) continue;
        warp.parts[index].state = PartState::kReady;
        passed = true;
    }
    if (passed) return;
    unsigned best = kLanes;
    for (unsigned index = 0; index < warp.part_count; ++index) {
        if (best == kLanes || goes_before(warp.parts[index], warp.parts[best])) best = index;
    }
    warp.parts[best].state = PartState::kReady;
    warp.force_sync = true;
}

}  // namespace

void add_part(WarpState& warp, Frame* frame, const Insn* at, uint32_t mask, PartState state,
              uint32_t member) {
    for (unsigned index = 0; index < warp.part_count; ++index) {
        Part& part = warp.parts[index];
        if (part.at == at && part.frame == frame && part.state == state && part.member == member) {
            part.mask |= mask;
            return;
        }
    }
    warp.parts[warp.part_count++] = {frame, at, mask, state, member, warp.stamp++};
}

const Insn* pick_part(WarpState& warp) {
    if (warp.part_count == 0) {
        warp.active = 0;
        warp.pause = Pause::kDone;
        return nullptr;
    }
    unsigned best = choose(warp);
    if (best == kLanes) {
        if (any_in(warp, PartState::kBarrier)) {
            warp.active = 0;
            warp.pause = Pause::kBlocked;
            return nullptr;
        }
        break_wait(warp);
        best = choose(warp);
    }
    const Part part = warp.parts[best];
    warp.parts[best] = warp.parts[--warp.part_count];
    warp.limit = kNoLimit;
    if (warp.take_turns) {
        warp.take_turns = false;
        warp.budget = kTurn;
    } else {
        for (unsigned index = 0; index < warp.part_count; ++index) {
            const Part& other = warp.parts[index];
            if (other.state == PartState::kReady && other.frame == part.frame &&
                other.at < warp.limit) {
                warp.limit = other.at;
            }
        }
    }
    if (warp.budget <= 0) warp.budget = kSlice;
    warp.active = part.mask;
    warp.frame = part.frame;
    warp.base[0] = part.frame->registers.get();
    warp.base[1] = part.frame->code->pool.get() - 1;
    warp.local_base = part.frame->local_base;
    return part.at;
}

const Insn* leave(WarpState& warp, uint32_t mask, const Insn* next) {
    warp.active &= ~mask;
    return warp.active != 0 ? next : pick_part(warp);
}

bool gather(Warp& base, const Insn* insn, uint32_t& mask, uint32_t member, const Insn*& next) {
    WarpState& warp = state_of(base);
    if ((member & ~warp.exited & ~mask) == 0) return true;
    for (unsigned index = 0; index < warp.part_count; ++index) {
        Part& part = warp.parts[index];
        if (part.at != insn || part.frame != warp.frame || part.state != PartState::kGathering) {
            continue;
        }
        mask |= part.mask;
        warp.active |= part.mask;
        part = warp.parts[--warp.part_count];
        break;
    }
    if ((member & ~warp.exited & ~mask) == 0) return true;
    if (warp.force_sync) {
        warp.force_sync = false;
        return true;
    }
    next = wait_here(warp, insn, mask);
    return false;
}

const Insn* wait_here(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    add_part(warp, warp.frame, insn, mask, PartState::kGathering);
    return leave(warp, mask, insn + 1);
}

}  // namespace cubar::softgpu::exec
