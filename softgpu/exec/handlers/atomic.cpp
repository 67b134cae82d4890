// SPDX-License-Identifier: Apache-2.0
// atom and red: the processor's own atomic operations, sequentially consistent, which is at least
// as strong as any scope and order that PTX names. Lanes go one after the other.
#include "softgpu/exec/handlers/atomic_operations.h"
#include "softgpu/exec/handlers/memory_access.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Space;

// op: d, b, c, -, address
template <class Kind, Operation kOperation, Space kSpace>
const Insn* atomic_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    using Lane = typename Kind::Lane;
    Access access;
    if (!resolve<kSpace>(warp, insn, mask, insn->op[4], sizeof(Lane), access)) return nullptr;
    Lane* d = lanes<Lane>(warp, insn->op[0]);
    const Lane* b = lanes<Lane>(warp, insn->op[1]);
    const Lane* c = kOperation == Operation::kCas ? lanes<Lane>(warp, insn->op[2]) : b;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        d[lane] = Kind::template apply<kOperation>(reinterpret_cast<Lane*>(access.at[lane]),
                                                   b[lane], c[lane]);
    }
    if constexpr (kOperation == Operation::kCas || kOperation == Operation::kExch) {
        // What spin locks are made of.
        warp.budget -= kPollCost;
        warp.spun = true;
    }
    return insn + 1;
}

template <class Kind, Operation kOperation>
Handler in_space(Space space) {
    switch (space) {
        case Space::kGlobal:
            return atomic_lanes<Kind, kOperation, Space::kGlobal>;
        case Space::kGeneric:
            return atomic_lanes<Kind, kOperation, Space::kGeneric>;
        case Space::kShared:
        case Space::kSharedCluster:
            return atomic_lanes<Kind, kOperation, Space::kShared>;
        case Space::kLocal:
            return atomic_lanes<Kind, kOperation, Space::kLocal>;
        default:
            return nullptr;
    }
}

template <class T>
Handler find_integer_atomic(const Key& key) {
    using Kind = Integer<T>;
    switch (key.operation) {
        case Operation::kAdd:
            return in_space<Kind, Operation::kAdd>(key.space);
        case Operation::kAnd:
            return in_space<Kind, Operation::kAnd>(key.space);
        case Operation::kOr:
            return in_space<Kind, Operation::kOr>(key.space);
        case Operation::kXor:
            return in_space<Kind, Operation::kXor>(key.space);
        case Operation::kExch:
            return in_space<Kind, Operation::kExch>(key.space);
        case Operation::kMin:
            return in_space<Kind, Operation::kMin>(key.space);
        case Operation::kMax:
            return in_space<Kind, Operation::kMax>(key.space);
        case Operation::kInc:
            return in_space<Kind, Operation::kInc>(key.space);
        case Operation::kDec:
            return in_space<Kind, Operation::kDec>(key.space);
        case Operation::kCas:
            return in_space<Kind, Operation::kCas>(key.space);
        default:
            return nullptr;
    }
}

template <class Kind>
Handler find_half_atomic(const Key& key) {
    switch (key.operation) {
        case Operation::kAdd:
            return in_space<Kind, Operation::kAdd>(key.space);
        case Operation::kMin:
            return in_space<Kind, Operation::kMin>(key.space);
        case Operation::kMax:
            return in_space<Kind, Operation::kMax>(key.space);
        default:
            return nullptr;
    }
}

Handler find_add(Handler handler, const Key& key) {
    return key.operation == Operation::kAdd ? handler : nullptr;
}

}  // namespace

Handler find_atomic(const Key& key) {
    if (key.opcode != Opcode::kAtom && key.opcode != Opcode::kRed) return nullptr;
    switch (key.type[0]) {
        case Type::kB16:
            return find_integer_atomic<uint16_t>(key);
        case Type::kB32:
        case Type::kU32:
            return find_integer_atomic<uint32_t>(key);
        case Type::kS32:
            return find_integer_atomic<int32_t>(key);
        case Type::kB64:
        case Type::kU64:
            return find_integer_atomic<uint64_t>(key);
        case Type::kS64:
            return find_integer_atomic<int64_t>(key);
        case Type::kB128:
            return key.operation == Operation::kCas ? in_space<Wide, Operation::kCas>(key.space)
                                                    : in_space<Wide, Operation::kExch>(key.space);
        case Type::kF32:
            return find_add(in_space<Single, Operation::kAdd>(key.space), key);
        case Type::kF64:
            return find_add(in_space<Double, Operation::kAdd>(key.space), key);
        case Type::kF16:
            return find_half_atomic<Half<false>>(key);
        case Type::kBf16:
            return find_half_atomic<Half<true>>(key);
        case Type::kF16x2:
            return find_half_atomic<HalfPair<false>>(key);
        case Type::kBf16x2:
            return find_half_atomic<HalfPair<true>>(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
