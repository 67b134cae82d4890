// SPDX-License-Identifier: Apache-2.0
// Branches, calls, barriers, fences and the end of a thread.
#include <atomic>
#include <chrono>
#include <cstring>

#include "softgpu/exec/block.h"
#include "softgpu/exec/builtins.h"
#include "softgpu/exec/key.h"

namespace cubar::softgpu::exec {
namespace {

using ptx::Modifier;
using ptx::Opcode;

constexpr uint32_t kMaxCallDepth = 20000;

const Insn* rejoin(WarpState& warp, const Insn* at) {
    add_part(warp, warp.frame, at, warp.active, PartState::kReady);
    return pick_part(warp);
}

const Insn* yield(WarpState& warp, const Insn* at) {
    add_part(warp, warp.frame, at, warp.active, PartState::kReady);
    warp.take_turns = true;
    warp.active = 0;
    warp.pause = Pause::kYield;
    return nullptr;
}

const Insn* join(Warp& warp, const Insn* insn, uint32_t) {
    if (insn >= warp.limit) return rejoin(state_of(warp), insn);
    if (--warp.budget < 0) return yield(state_of(warp), insn);
    return insn + 1;
}

const Insn* branch_apart(WarpState& warp, const Insn* next, const Insn* target, uint32_t taken) {
    const uint32_t others = warp.active & ~taken;
    const bool target_first = target < next;
    const Insn* low = target_first ? target : next;
    const Insn* high = target_first ? next : target;
    if (low == high) return low >= warp.limit ? rejoin(warp, low) : low;
    add_part(warp, warp.frame, high, target_first ? others : taken, PartState::kReady);
    if (high < warp.limit) warp.limit = high;
    warp.active = target_first ? taken : others;
    return low >= warp.limit ? rejoin(warp, low) : low;
}

const Insn* bra(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto* target = reinterpret_cast<const Insn*>(insn->imm);
    if (mask == warp.active) return target;  // begins with a join
    if (mask == 0) {
        return insn + 1 >= warp.limit ? rejoin(state_of(warp), insn + 1) : insn + 1;
    }
    return branch_apart(state_of(warp), insn + 1, target, mask);
}

const Insn* brx(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    const auto& targets = warp.frame->code->branch_tables[insn->aux];
    const uint32_t* index = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t others = warp.active & ~mask;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        if (index[lane] >= targets.size()) {
            return warp.block->fail(warp, insn, FaultKind::kInvalidPc, index[lane],
                                    "branch beyond the end of its table");
        }
        add_part(warp, warp.frame, targets[index[lane]], uint32_t{1} << lane, PartState::kReady);
    }
    if (others != 0) add_part(warp, warp.frame, insn + 1, others, PartState::kReady);
    return pick_part(warp);
}

void drop_lanes(WarpState& warp, Frame* frame, uint32_t mask) {
    while (frame != nullptr) {
        Frame* const parent = frame->parent;
        frame->lanes &= ~mask;
        if (frame->lanes == 0) warp.block->release_frame(frame);
        frame = parent;
    }
}

const Insn* exit_lanes(Warp& base, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    WarpState& warp = state_of(base);
    warp.exited |= mask;
    drop_lanes(warp, warp.frame, mask);
    warp.block->threads_exited();
    return leave(warp, mask, insn + 1);
}

// --- calls ---

void transfer(const Warp& warp, const Frame& from_frame, const Transfer& from,
              const Frame& to_frame, const Transfer& to, uint32_t mask) {
    const uint32_t bytes = from.bytes < to.bytes ? from.bytes : to.bytes;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        std::memcpy(lane_place(warp, to_frame, to.to_slot, to.to, to.bytes, lane),
                    lane_place(warp, from_frame, from.from_slot, from.from, from.bytes, lane),
                    bytes);
    }
}

const Insn* ret(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    Frame* const frame = warp.frame;
    if (frame->parent == nullptr) return exit_lanes(warp, insn, mask);
    if (mask == 0) return insn + 1;
    const CallSite& site = *frame->site;
    for (size_t index = 0; index < site.results.size(); ++index) {
        if (index >= frame->code->results.size()) break;
        transfer(warp, *frame, frame->code->results[index], *frame->parent, site.results[index],
                 mask);
    }
    add_part(warp, frame->parent, frame->return_to, mask, PartState::kReady);
    frame->lanes &= ~mask;
    if (frame->lanes == 0) warp.block->release_frame(frame);
    return leave(warp, mask, insn + 1);
}

bool overflows(const WarpState& warp, uint32_t mask, uint64_t end) {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) != 0 && end > warp.stack_top[lane]) return true;
    }
    return false;
}

const Insn* enter(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site,
                  const FunctionCode& callee) {
    Frame* const caller = warp.frame;
    const uint64_t local_base = caller->local_base + caller->code->frame_bytes;
    if (overflows(warp, mask, local_base + callee.frame_bytes) || caller->depth >= kMaxCallDepth) {
        return warp.block->fail(warp, insn, FaultKind::kStackOverflow, 0,
                                "the call stack is exhausted");
    }
    const uint32_t others = warp.active & ~mask;
    if (others != 0) add_part(warp, caller, insn + 1, others, PartState::kReady);
    Frame* const frame = warp.block->push_frame(warp, callee, caller, mask);
    frame->local_base = local_base;
    frame->return_to = insn + 1;
    frame->site = &site;
    for (size_t index = 0; index < site.arguments.size(); ++index) {
        if (index >= callee.parameters.size()) break;
        transfer(warp, *caller, site.arguments[index], *frame, callee.parameters[index], mask);
    }
    add_part(warp, frame, callee.code.data(), mask, PartState::kReady);
    warp.active = 0;
    return pick_part(warp);
}

const Insn* call(Warp& base, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    WarpState& warp = state_of(base);
    const CallSite& site = warp.frame->code->call_sites[insn->imm];
    if (site.builtin != Builtin::kNone) return call_builtin(warp, insn, mask, site);
    if (site.callee != CallSite::kIndirect) {
        return enter(warp, insn, mask, site, *site.code);
    }
    // Lanes that call the same function go together; the others come back to this instruction.
    const uint64_t* target = lanes<uint64_t>(warp, site.target);
    const uint64_t address = target[__builtin_ctz(mask)];
    uint32_t same = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if ((mask >> lane & 1) != 0 && target[lane] == address) same |= uint32_t{1} << lane;
    }
    const uint64_t offset = address - kFunctionWindow;
    const FunctionCode* callee = nullptr;
    if (offset % kFunctionStride == 0 && offset != 0 && offset / kFunctionStride <= UINT32_MAX) {
        callee = warp.block->grid().image->find_function(*warp.block->grid().code,
                                                         uint32_t(offset / kFunctionStride - 1));
    }
    if (callee == nullptr) {
        return warp.block->fail(warp, insn, FaultKind::kInvalidPc, address,
                                "call of an address that is no function");
    }
    const uint32_t later = mask & ~same;
    if (later != 0) {
        add_part(warp, warp.frame, insn, later, PartState::kReady);
        warp.active &= ~later;
    }
    return enter(warp, insn, same, site, *callee);
}

// --- barriers and fences ---

const Insn* barrier(WarpState& warp, const Insn* insn, uint32_t mask, bool waits) {
    if (mask == 0) return insn + 1;
    const int leader = __builtin_ctz(mask);
    const uint32_t number = lanes<uint32_t>(warp, insn->op[0])[leader];
    if (number >= kBarriers) {
        return warp.block->fail(warp, insn, FaultKind::kIllegalInstruction, 0,
                                "there is no barrier " + std::to_string(number));
    }
    const uint32_t threads = lanes<uint32_t>(warp, insn->op[1])[leader];
    const uint32_t predicate = *lanes<uint32_t>(warp, insn->op[3]);
    if (!waits) {
        warp.block->arrive(warp, number, mask, threads, predicate);
        return insn + 1;
    }
    add_part(warp, warp.frame, insn, mask, PartState::kBarrier, number);
    warp.active &= ~mask;
    const uint32_t others = warp.active;
    if (others != 0) add_part(warp, warp.frame, insn + 1, others, PartState::kReady);
    warp.block->arrive(warp, number, mask, threads, predicate);
    return pick_part(warp);
}

const Insn* barrier_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return barrier(state_of(warp), insn, mask, true);
}

const Insn* barrier_arrive(Warp& warp, const Insn* insn, uint32_t mask) {
    return barrier(state_of(warp), insn, mask, false);
}

const Insn* cluster_arrive(Warp& base, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    WarpState& warp = state_of(base);
    warp.block->arrive(warp, kClusterBarrier, mask, 0, 0);
    return insn + 1;
}

// Those whose arrival has been forgotten: all others have come since.
const Insn* cluster_wait(Warp& base, const Insn* insn, uint32_t mask) {
    WarpState& warp = state_of(base);
    if (mask == 0 || !warp.block->waits_for_cluster(warp, mask)) return insn + 1;
    add_part(warp, warp.frame, insn, mask, PartState::kBarrier, kClusterBarrier);
    return leave(warp, mask, insn + 1);
}

const Insn* barrier_warp(Warp& base, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    WarpState& warp = state_of(base);
    const uint32_t member = lanes<uint32_t>(warp, insn->op[0])[__builtin_ctz(mask)];
    if ((member & ~warp.exited & ~mask) == 0) return insn + 1;
    uint32_t arrived = mask;
    for (unsigned index = 0; index < warp.part_count; ++index) {
        const Part& part = warp.parts[index];
        if (part.state == PartState::kWarpBarrier && part.member == member) arrived |= part.mask;
    }
    if ((member & ~warp.exited & ~arrived) != 0) {
        add_part(warp, warp.frame, insn + 1, mask, PartState::kWarpBarrier, member);
        return leave(warp, mask, insn + 1);
    }
    for (unsigned index = 0; index < warp.part_count; ++index) {
        Part& part = warp.parts[index];
        if (part.state != PartState::kWarpBarrier || part.member != member) continue;
        part.state = PartState::kReady;
        part.member = 0;
    }
    return rejoin(warp, insn + 1);
}

const Insn* fence(Warp&, const Insn* insn, uint32_t) {
    // Pairs with the fences of other threads of any grid, and of the host.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return insn + 1;
}

const Insn* nothing(Warp&, const Insn* insn, uint32_t) {
    return insn + 1;
}

// Time passes while others run.
const Insn* nanosleep(Warp& base, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    WarpState& warp = state_of(base);
    warp.spun = true;
    add_part(warp, warp.frame, insn + 1, warp.active, PartState::kReady);
    warp.take_turns = true;
    warp.active = 0;
    warp.pause = Pause::kYield;
    return nullptr;
}

const Insn* trap(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    return warp.block->fail(warp, insn, FaultKind::kTrap, 0, "trap");
}

Handler find_barrier(const Key& key) {
    if (key.has(Modifier::kWarp)) return barrier_warp;
    if (key.has(Modifier::kCluster)) {
        return key.has(Modifier::kArrive) ? cluster_arrive : cluster_wait;
    }
    return key.has(Modifier::kArrive) ? barrier_arrive : barrier_sync;
}

}  // namespace

char* lane_place(const Warp& warp, const Frame& frame, bool in_slot, uint64_t at, uint32_t bytes,
                 unsigned lane) {
    if (!in_slot) return warp.local + lane * warp.local_bytes + frame.local_base + at;
    const Slot slot = Slot(at);
    char* const base = (slot & 1) != 0 ? frame.code->pool.get() - 1 : frame.registers.get();
    return base + slot + size_t{lane} * bytes;
}

Handler join_handler() {
    return join;
}

uint64_t global_timer() {
    return uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count());
}

Handler find_control(const Key& key) {
    switch (key.opcode) {
        case Opcode::kBra:
            return bra;
        case Opcode::kBrx:
            return brx;
        case Opcode::kCall:
            return call;
        case Opcode::kRet:
            return ret;
        case Opcode::kExit:
            return exit_lanes;
        case Opcode::kTrap:
        case Opcode::kBrkpt:
            return trap;
        case Opcode::kBar:
        case Opcode::kBarrier:
            return find_barrier(key);
        case Opcode::kMembar:
            return fence;
        case Opcode::kFence:
            return fence;
        case Opcode::kNanosleep:
            return nanosleep;
        case Opcode::kPrefetch:
        case Opcode::kPrefetchu:
        case Opcode::kApplypriority:
        case Opcode::kDiscard:
        case Opcode::kGriddepcontrol:
        case Opcode::kPmevent:
        case Opcode::kSetmaxnreg:
            return nothing;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec
