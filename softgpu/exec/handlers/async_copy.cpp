// SPDX-License-Identifier: Apache-2.0
// cp.async, cp.async.bulk and cp.reduce.async.bulk. Copies are done when they are issued, which PTX
// allows: nobody may look at or change either side before the copy has been waited for.
#include "softgpu/exec/async.h"
#include "softgpu/exec/handlers/atomic_operations.h"
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

struct Copy {
    static void apply(char* to, const char* from, uint32_t size) {
        __builtin_memmove(to, from, size);
    }
};

template <class Kind, Operation kOperation>
struct Reduce {
    static void apply(char* to, const char* from, uint32_t size) {
        using Lane = typename Kind::Lane;
        for (uint32_t at = 0; at < size; at += sizeof(Lane)) {
            Lane b;
            __builtin_memcpy(&b, from + at, sizeof b);
            Kind::template apply<kOperation>(reinterpret_cast<Lane*>(to + at), b, b);
        }
    }
};

// The same place in the shared memory of the cluster's block of that rank; see mapa.
uint64_t in_block(uint64_t address, unsigned rank) {
    const uint64_t offset = address % kClusterStride;
    return address - address % (kClusterStride * 256) + (rank + 1) * kClusterStride + offset;
}

// op: destination, source, size, mbarrier, blocks (16 bits). count: BulkFlags.
template <class Change>
const Insn* copy_bulk(Warp& warp, const Insn* insn, uint32_t mask) {
    Insn source = *insn;
    Insn barrier = *insn;
    source.aux = uint16_t(insn->aux + 1);
    barrier.aux = uint16_t(insn->aux + 2);
    const bool to_many = (insn->count & kBulkToMany) != 0;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        const uint32_t size = lanes<uint32_t>(warp, insn->op[2])[lane];
        if (size % kBulkAlign != 0) return fault_misaligned(warp, insn, size);
        const char* from = nullptr;
        if (size != 0) {
            from = resolve_one(warp, &source, lane, lanes<uint64_t>(warp, insn->op[1])[lane],
                               (insn->count & kBulkFromShared) != 0, size, kBulkAlign);
            if (from == nullptr) return nullptr;
        }
        // Into one place, or into the like place of each block that the mask names.
        uint32_t blocks = to_many ? lanes<uint16_t>(warp, insn->op[4])[lane] : 1;
        for (; blocks != 0; blocks &= blocks - 1) {
            const auto place = [&](Slot slot) {
                const uint64_t address = lanes<uint64_t>(warp, slot)[lane];
                return to_many ? in_block(address, unsigned(__builtin_ctz(blocks))) : address;
            };
            if (size != 0) {
                char* const to = resolve_one(warp, insn, lane, place(insn->op[0]),
                                             (insn->count & kBulkToShared) != 0, size, kBulkAlign);
                if (to == nullptr) return nullptr;
                Change::apply(to, from, size);
            }
            if ((insn->count & kBulkCounts) == 0) continue;
            char* const at = resolve_one(warp, &barrier, lane, place(insn->op[3]), true,
                                         sizeof(uint64_t), sizeof(uint64_t));
            if (at == nullptr) return nullptr;
            change(at, 0, 0, 0 - uint64_t{size});
        }
    }
    return insn + 1;
}

/// Of the operations that there are for `Kind`.
template <class Kind, Operation... kOperations>
Handler find_among(Operation operation) {
    Handler found = nullptr;
    ((operation == kOperations ? void(found = copy_bulk<Reduce<Kind, kOperations>>) : void()), ...);
    return found;
}

template <class Kind>
Handler find_integer_reduction(Operation operation) {
    return find_among<Kind, Operation::kAdd, Operation::kMin, Operation::kMax, Operation::kInc,
                      Operation::kDec, Operation::kAnd, Operation::kOr, Operation::kXor>(operation);
}

template <class Kind>
Handler find_half_reduction(Operation operation) {
    return find_among<Kind, Operation::kAdd, Operation::kMin, Operation::kMax>(operation);
}

Handler find_reduction(const Key& key) {
    switch (key.type[0]) {
        case Type::kB32:
        case Type::kU32:
            return find_integer_reduction<Integer<uint32_t>>(key.operation);
        case Type::kS32:
            return find_integer_reduction<Integer<int32_t>>(key.operation);
        case Type::kB64:
        case Type::kU64:
            return find_integer_reduction<Integer<uint64_t>>(key.operation);
        case Type::kS64:
            return find_integer_reduction<Integer<int64_t>>(key.operation);
        case Type::kF16:
            return find_half_reduction<Half<false>>(key.operation);
        case Type::kBf16:
            return find_half_reduction<Half<true>>(key.operation);
        case Type::kF32:
            return copy_bulk<Reduce<Single, Operation::kAdd>>;
        case Type::kF64:
            return copy_bulk<Reduce<Double, Operation::kAdd>>;
        default:
            return nullptr;
    }
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
    if (key.has(Modifier::kReduce)) return find_reduction(key);
    if (key.has(Modifier::kBulk)) return copy_bulk<Copy>;
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
