// SPDX-License-Identifier: Apache-2.0
// cp.async and cp.async.bulk. Copies are done when they are issued, which PTX allows: nobody may
// look at or change either side before the copy has been waited for.
#include "softgpu/exec/async.h"
#include "softgpu/exec/handlers/transaction.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

// op: size or predicate, -, -, source (64 bits), destination. count: a CopyLimit.
template <unsigned kBytes>
const Insn* copy_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    Access to;
    if (!resolve<ptx::Space::kShared>(warp, insn, mask, insn->op[4], kBytes, to)) return nullptr;
    uint32_t whole = mask;
    if (insn->count == kCopyUnless) {
        whole &= ~*lanes<uint32_t>(warp, insn->op[0]);
    } else if (insn->count == kCopySize) {
        const uint32_t* size = lanes<uint32_t>(warp, insn->op[0]);
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (size[lane] < kBytes) whole &= ~(uint32_t{1} << lane);
        }
    }
    Insn source = *insn;
    source.imm = 0;
    source.flags = 0;
    ++source.aux;
    Access from;
    if (whole != 0 &&
        !resolve<ptx::Space::kGlobal>(warp, &source, whole, insn->op[3], kBytes, from)) {
        return nullptr;
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        if (has_lane(whole, lane)) {
            __builtin_memcpy(to.at[lane], from.at[lane], kBytes);
            continue;
        }
        const uint32_t size =
            insn->count == kCopySize ? lanes<uint32_t>(warp, insn->op[0])[lane] : 0;
        char bytes[kBytes] = {};
        if (size != 0) {
            const char* at = resolve_one(
                warp, &source, lane, lanes<uint64_t>(warp, insn->op[3])[lane], false, size, kBytes);
            if (at == nullptr) return nullptr;
            __builtin_memcpy(bytes, at, size);
        }
        __builtin_memcpy(to.at[lane], bytes, kBytes);
    }
    return insn + 1;
}

constexpr unsigned kBulkAlign = 16;

// op: destination, source, size, mbarrier. count: BulkFlags.
const Insn* copy_bulk(Warp& warp, const Insn* insn, uint32_t mask) {
    Insn source = *insn;
    Insn barrier = *insn;
    source.aux = uint16_t(insn->aux + 1);
    barrier.aux = uint16_t(insn->aux + 2);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        const uint32_t size = lanes<uint32_t>(warp, insn->op[2])[lane];
        if (size % kBulkAlign != 0) return fault_misaligned(warp, insn, size);
        const auto place = [&](const Insn& through, Slot slot, bool shared, unsigned bytes,
                               unsigned align) {
            return resolve_one(warp, &through, lane, lanes<uint64_t>(warp, slot)[lane], shared,
                               bytes, align);
        };
        if (size != 0) {
            char* const to =
                place(*insn, insn->op[0], (insn->count & kBulkToShared) != 0, size, kBulkAlign);
            if (to == nullptr) return nullptr;
            const char* const from =
                place(source, insn->op[1], (insn->count & kBulkFromShared) != 0, size, kBulkAlign);
            if (from == nullptr) return nullptr;
            __builtin_memmove(to, from, size);
        }
        if ((insn->count & kBulkCounts) == 0) continue;
        char* const at = place(barrier, insn->op[3], true, sizeof(uint64_t), sizeof(uint64_t));
        if (at == nullptr) return nullptr;
        change(at, 0, 0, 0 - uint64_t{size});
    }
    return insn + 1;
}

// Groups of copies are complete when they are committed.
const Insn* nothing_to_wait_for(Warp&, const Insn* insn, uint32_t) {
    return insn + 1;
}

}  // namespace

Handler find_async_copy(const Key& key) {
    if (key.opcode != Opcode::kCp) return nullptr;
    if (key.has(Modifier::kCommitGroup) || key.has(Modifier::kWaitGroup) ||
        key.has(Modifier::kWaitAll) || key.has(Modifier::kPrefetch)) {
        return nothing_to_wait_for;
    }
    if (key.has(Modifier::kBulk)) return copy_bulk;
    switch (key.bits[0]) {  // of what one lane copies
        case 32:
            return copy_lanes<4>;
        case 64:
            return copy_lanes<8>;
        case 128:
            return copy_lanes<16>;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
