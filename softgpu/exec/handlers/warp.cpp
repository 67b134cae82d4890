// SPDX-License-Identifier: Apache-2.0
// Instructions that the lanes of a warp execute together: shfl, vote, match, redux, activemask,
// elect.
#include "softgpu/exec/handlers/vector.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Operation;

// Runs `body(lanes, member)` once for each set of lanes that name the same members and are
// complete; lanes whose partners have not come wait at the instruction.
template <class Body>
const Insn* together(Warp& warp, const Insn* insn, uint32_t mask, Slot member_slot, Body body) {
    if (mask == 0) return insn + 1;
    const uint32_t* member = lanes<uint32_t>(warp, member_slot);
    uint32_t first = member[__builtin_ctz(mask)];
    uint32_t different = 0;
    if ((member_slot & 1) == 0) {  // not a constant
        CUBAR_EACH_LANE different |= has_lane(mask, lane) ? member[lane] ^ first : 0;
    }
    if (different == 0) {
        const Insn* next = nullptr;
        if (!gather(warp, insn, mask, first, next)) return next;
        body(mask, first);
        return insn + 1;
    }
    uint32_t left = mask;
    uint32_t waiting = 0;
    while (left != 0) {
        first = member[__builtin_ctz(left)];
        uint32_t same = 0;
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            same |= uint32_t(has_lane(left, lane) && member[lane] == first) << lane;
        }
        left &= ~same;
        if ((first & ~warp.exited & ~same) == 0 || warp.force_sync) {
            body(same, first);
        } else {
            waiting |= same;
        }
    }
    warp.force_sync = false;
    return waiting == 0 ? insn + 1 : wait_here(warp, insn, waiting);
}

enum class Shuffle { kUp, kDown, kBfly, kIdx };

// to[lane] = of[from[lane]], all of them below 32.
void pick_lanes(uint32_t* to, const uint32_t* of, const uint32_t* from) {
#ifdef __AVX512F__
    const __m512i low = _mm512_load_si512(of);
    const __m512i high = _mm512_load_si512(of + 16);
    for (unsigned lane = 0; lane < kLanes; lane += 16) {
        _mm512_store_si512(to + lane,
                           _mm512_permutex2var_epi32(low, _mm512_load_si512(from + lane), high));
    }
#else
    for (unsigned lane = 0; lane < kLanes; ++lane) to[lane] = of[from[lane]];
#endif
}

template <Shuffle kMode>
void shuffle(const Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const uint32_t* a = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t* b = lanes<uint32_t>(warp, insn->op[3]);
    const uint32_t* c = lanes<uint32_t>(warp, insn->op[4]);
    alignas(64) uint32_t result[kLanes];
    alignas(64) uint32_t from[kLanes];
    uint32_t inside = 0;
    CUBAR_EACH_LANE {
        const uint32_t by = b[lane] & 31;
        const uint32_t segment = c[lane] >> 8 & 31;
        const uint32_t lowest = lane & segment;
        const uint32_t highest = lowest | (c[lane] & 31 & ~segment);
        const uint32_t partner = kMode == Shuffle::kUp     ? lane - by
                                 : kMode == Shuffle::kDown ? lane + by
                                 : kMode == Shuffle::kBfly ? lane ^ by
                                                           : lowest | (by & ~segment);
        const bool is_inside = kMode == Shuffle::kUp ? int32_t(partner) >= int32_t(highest)
                                                     : int32_t(partner) <= int32_t(highest);
        from[lane] = is_inside ? partner : lane;
        inside |= uint32_t(is_inside) << lane;
    }
    pick_lanes(result, a, from);
    store_lanes(d, result, mask);
    store_mask(lanes<uint32_t>(warp, insn->op[1]), inside, mask);
}

// op: d, p, a, b, c, membermask
template <Shuffle kMode>
const Insn* shuffle_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return together(warp, insn, mask, insn->op[5],
                    [&](uint32_t group, uint32_t) { shuffle<kMode>(warp, insn, group); });
}

template <Shuffle kMode>
const Insn* shuffle_active(Warp& warp, const Insn* insn, uint32_t mask) {
    shuffle<kMode>(warp, insn, mask);
    return insn + 1;
}

template <Shuffle kMode>
Handler shuffle_handler(const Key& key) {
    return key.has(Modifier::kSync) ? shuffle_sync<kMode> : shuffle_active<kMode>;
}

enum class Vote { kAll, kAny, kUni, kBallot };

template <Vote kVote>
void vote(const Warp& warp, const Insn* insn, uint32_t group) {
    const uint32_t yes = *lanes<uint32_t>(warp, insn->op[1]) & group;
    if constexpr (kVote == Vote::kBallot) {
        uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
        CUBAR_EACH_LANE d[lane] = has_lane(group, lane) ? yes : d[lane];
    } else {
        const bool answer = kVote == Vote::kAll   ? yes == group
                            : kVote == Vote::kAny ? yes != 0
                                                  : yes == group || yes == 0;
        store_mask(lanes<uint32_t>(warp, insn->op[0]), answer ? kAllLanes : 0, group);
    }
}

template <Vote kVote>
const Insn* vote_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return together(warp, insn, mask, insn->op[2],
                    [&](uint32_t group, uint32_t) { vote<kVote>(warp, insn, group); });
}

template <Vote kVote>
const Insn* vote_active(Warp& warp, const Insn* insn, uint32_t mask) {
    vote<kVote>(warp, insn, mask);
    return insn + 1;
}

template <Vote kVote>
Handler vote_handler(const Key& key) {
    return key.has(Modifier::kSync) ? vote_sync<kVote> : vote_active<kVote>;
}

// op: d, p, a, membermask
template <class T, bool kAll>
const Insn* match_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return together(warp, insn, mask, insn->op[3], [&](uint32_t group, uint32_t) {
        uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
        const T* a = lanes<T>(warp, insn->op[2]);
        uint32_t everyone = 0;
        alignas(64) uint32_t result[kLanes] = {};
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (!has_lane(group, lane)) continue;
            for (unsigned other = 0; other < kLanes; ++other) {
                const bool equal = has_lane(group, other) && a[other] == a[lane];
                result[lane] |= uint32_t(equal) << other;
            }
            if (result[lane] == group) everyone |= uint32_t{1} << lane;
        }
        if (kAll) {
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                result[lane] = everyone == group ? group : 0;
            }
            store_mask(lanes<uint32_t>(warp, insn->op[1]), everyone == group ? kAllLanes : 0,
                       group);
        }
        store_lanes(d, result, group);
    });
}

template <class T, Operation kOperation>
const Insn* redux_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return together(warp, insn, mask, insn->op[2], [&](uint32_t group, uint32_t) {
        T* d = lanes<T>(warp, insn->op[0]);
        const T* a = lanes<T>(warp, insn->op[1]);
        T sum = a[__builtin_ctz(group)];
        for (uint32_t rest = group & (group - 1); rest != 0; rest &= rest - 1) {
            const T next = a[__builtin_ctz(rest)];
            switch (kOperation) {
                case Operation::kAdd:
                    sum = T(Unsigned<T>(sum) + Unsigned<T>(next));
                    break;
                case Operation::kMin:
                    sum = next < sum ? next : sum;
                    break;
                case Operation::kMax:
                    sum = next > sum ? next : sum;
                    break;
                case Operation::kAnd:
                    sum &= next;
                    break;
                case Operation::kOr:
                    sum |= next;
                    break;
                default:
                    sum ^= next;
                    break;
            }
        }
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(group, lane)) d[lane] = sum;
        }
    });
}

template <class T>
Handler redux_handler(Operation operation) {
    switch (operation) {
        case Operation::kAdd:
            return redux_sync<T, Operation::kAdd>;
        case Operation::kMin:
            return redux_sync<T, Operation::kMin>;
        case Operation::kMax:
            return redux_sync<T, Operation::kMax>;
        case Operation::kAnd:
            return redux_sync<T, Operation::kAnd>;
        case Operation::kOr:
            return redux_sync<T, Operation::kOr>;
        case Operation::kXor:
            return redux_sync<T, Operation::kXor>;
        default:
            return nullptr;
    }
}

const Insn* activemask(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = mask;
    }
    return insn + 1;
}

// op: d (the leader's lane), p, membermask
const Insn* elect_sync(Warp& warp, const Insn* insn, uint32_t mask) {
    return together(warp, insn, mask, insn->op[2], [&](uint32_t group, uint32_t) {
        const auto leader = uint32_t(__builtin_ctz(group));
        uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(group, lane)) d[lane] = leader;
        }
        store_mask(lanes<uint32_t>(warp, insn->op[1]), uint32_t{1} << leader, group);
    });
}

}  // namespace

Handler find_warp(const Key& key) {
    switch (key.opcode) {
        case Opcode::kShfl:
            if (key.has(Modifier::kUp)) return shuffle_handler<Shuffle::kUp>(key);
            if (key.has(Modifier::kDown)) return shuffle_handler<Shuffle::kDown>(key);
            if (key.has(Modifier::kBfly)) return shuffle_handler<Shuffle::kBfly>(key);
            return shuffle_handler<Shuffle::kIdx>(key);
        case Opcode::kVote:
            if (key.has(Modifier::kBallot)) return vote_handler<Vote::kBallot>(key);
            if (key.has(Modifier::kAll)) return vote_handler<Vote::kAll>(key);
            if (key.has(Modifier::kAny)) return vote_handler<Vote::kAny>(key);
            return vote_handler<Vote::kUni>(key);
        case Opcode::kMatch:
            if (key.type[0] == Type::kB64) {
                return key.has(Modifier::kAll) ? match_sync<uint64_t, true>
                                               : match_sync<uint64_t, false>;
            }
            return key.has(Modifier::kAll) ? match_sync<uint32_t, true>
                                           : match_sync<uint32_t, false>;
        case Opcode::kRedux:
            if (key.type[0] == Type::kF32) return nullptr;
            return key.type[0] == Type::kS32 ? redux_handler<int32_t>(key.operation)
                                             : redux_handler<uint32_t>(key.operation);
        case Opcode::kActivemask:
            return activemask;
        case Opcode::kElect:
            return elect_sync;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
