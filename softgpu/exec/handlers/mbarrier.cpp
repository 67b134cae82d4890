// SPDX-License-Identifier: Apache-2.0
// mbarrier, and the arrival of asynchronous copies at one. Lanes go one after the other.
#include "softgpu/exec/handlers/transaction.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

constexpr unsigned kBytes = 8;

// op: result, operand, -, -, address. aux is the cache's number, count: 1 for a shared address.
// Visits lane, barrier. False after a fault.
template <class Visit>
bool each_barrier(Warp& warp, const Insn* insn, uint32_t mask, Visit visit) {
    alignas(64) uint64_t address[kLanes];
    gather_addresses(warp, insn, insn->op[4], address);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        char* const at =
            resolve_one(warp, insn, lane, address[lane], insn->count != 0, kBytes, kBytes);
        if (at == nullptr) return false;
        visit(lane, at);
    }
    return true;
}

const Insn* init(Warp& warp, const Insn* insn, uint32_t mask) {
    const uint32_t* count = lanes<uint32_t>(warp, insn->op[1]);
    const bool good = each_barrier(warp, insn, mask, [&](unsigned lane, char* at) {
        const Transaction fresh = Transaction::make(count[lane], count[lane], 0, 0);
        __atomic_store_n(reinterpret_cast<uint64_t*>(at), fresh.word, __ATOMIC_SEQ_CST);
    });
    return good ? insn + 1 : nullptr;
}

// The memory may be used for other things from now on.
const Insn* invalidate(Warp& warp, const Insn* insn, uint32_t mask) {
    const bool good = each_barrier(warp, insn, mask, [](unsigned, char*) {});
    return good ? insn + 1 : nullptr;
}

enum class Change { kArrive, kDrop, kArriveExpect, kDropExpect, kExpect, kComplete, kNoChange };

template <Change kChange>
const Insn* change_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    uint64_t* state = lanes<uint64_t>(warp, insn->op[0]);
    const uint32_t* operand = lanes<uint32_t>(warp, insn->op[1]);
    constexpr bool kArrives = kChange == Change::kArrive || kChange == Change::kDrop;
    constexpr bool kArrivesOnce =
        kChange == Change::kArriveExpect || kChange == Change::kDropExpect;
    constexpr bool kDrops = kChange == Change::kDrop || kChange == Change::kDropExpect;
    const bool good = each_barrier(warp, insn, mask, [&](unsigned lane, char* at) {
        const uint64_t value = operand[lane];
        const uint64_t arrivals = kArrives ? value : kArrivesOnce ? 1 : 0;
        const uint64_t bytes = kArrives || kChange == Change::kNoChange ? 0
                               : kChange == Change::kComplete           ? 0 - value
                                                                        : value;
        const uint64_t before = change(at, arrivals, kDrops ? arrivals : 0, bytes).word;
        if (kArrives || kArrivesOnce) state[lane] = before;
    });
    return good ? insn + 1 : nullptr;
}

// try_wait may wait for a while: here other warps run.
template <bool kParity, bool kTry>
const Insn* wait_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t done = 0;
    const bool good = each_barrier(warp, insn, mask, [&](unsigned lane, char* at) {
        const Transaction now{
            __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_ACQUIRE)};
        const uint64_t waited_for =
            kParity ? lanes<uint32_t>(warp, insn->op[1])[lane] & 1
                    : Transaction{lanes<uint64_t>(warp, insn->op[1])[lane]}.phase();
        done |= uint32_t(now.phase() != waited_for) << lane;
    });
    if (!good) return nullptr;
    store_mask(lanes<uint32_t>(warp, insn->op[0]), done, mask);
    if (done != mask) {
        warp.spun = true;
        warp.budget = kTry ? 0 : warp.budget - kPollCost;
    }
    return insn + 1;
}

const Insn* pending_count(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint64_t* state = lanes<uint64_t>(warp, insn->op[1]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = uint32_t(Transaction{state[lane]}.pending());
    }
    return insn + 1;
}

Handler find_wait(const Key& key) {
    if (key.has(Modifier::kTryWait)) {
        return key.has(Modifier::kParity) ? wait_lanes<true, true> : wait_lanes<false, true>;
    }
    return key.has(Modifier::kParity) ? wait_lanes<true, false> : wait_lanes<false, false>;
}

}  // namespace

Handler find_mbarrier(const Key& key) {
    if (key.opcode == Opcode::kCp && key.has(Modifier::kMbarrier)) {
        // The copies before it are done. Without .noinc it arrives once more than before.
        return key.has(Modifier::kNoinc) ? change_lanes<Change::kArrive>
                                         : change_lanes<Change::kNoChange>;
    }
    if (key.opcode != Opcode::kMbarrier) return nullptr;
    if (key.has(Modifier::kInit)) return init;
    if (key.has(Modifier::kInval)) return invalidate;
    if (key.has(Modifier::kArrive)) {
        return key.has(Modifier::kExpectTx) ? change_lanes<Change::kArriveExpect>
                                            : change_lanes<Change::kArrive>;
    }
    if (key.has(Modifier::kArriveDrop)) {
        return key.has(Modifier::kExpectTx) ? change_lanes<Change::kDropExpect>
                                            : change_lanes<Change::kDrop>;
    }
    if (key.has(Modifier::kExpectTx)) return change_lanes<Change::kExpect>;
    if (key.has(Modifier::kCompleteTxOp)) return change_lanes<Change::kComplete>;
    if (key.has(Modifier::kPendingCount)) return pending_count;
    return find_wait(key);
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
