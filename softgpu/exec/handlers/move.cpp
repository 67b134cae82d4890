// SPDX-License-Identifier: Apache-2.0
// mov in all its forms, conversion of addresses, special registers.
#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Space;
using ptx::Special;

struct Pair {
    uint64_t low;
    uint64_t high;
};

template <class T>
const Insn* copy_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    if (mask == kAllLanes) {
        CUBAR_EACH_LANE d[lane] = a[lane];
    } else {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(mask, lane)) d[lane] = a[lane];
        }
    }
    return insn + 1;
}

const Insn* copy_predicate(Warp& warp, const Insn* insn, uint32_t mask) {
    store_mask(lanes<uint32_t>(warp, insn->op[0]), *lanes<uint32_t>(warp, insn->op[1]), mask);
    return insn + 1;
}

template <class Whole, class Part, class Register>
const Insn* pack_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    constexpr unsigned kParts = sizeof(Whole) / sizeof(Part);
    alignas(64) Whole result[kLanes];
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        Part parts[kParts];
        for (unsigned part = 0; part < kParts; ++part) {
            parts[part] = Part(lanes<Register>(warp, insn->op[1 + part])[lane]);
        }
        __builtin_memcpy(&result[lane], parts, sizeof(Whole));
    }
    Whole* d = lanes<Whole>(warp, insn->op[0]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = result[lane];
    }
    return insn + 1;
}

// op[0]: the whole; op[1..]: the parts, some of which may be the frame's dump for `_`.
template <class Whole, class Part, class Register>
const Insn* unpack_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    constexpr unsigned kParts = sizeof(Whole) / sizeof(Part);
    alignas(64) Part parts[kLanes][kParts];
    __builtin_memcpy(parts, lanes<Whole>(warp, insn->op[0]), sizeof(parts));
    for (unsigned part = 0; part < kParts; ++part) {
        Register* d = lanes<Register>(warp, insn->op[1 + part]);
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(mask, lane)) d[lane] = parts[lane][part];
        }
    }
    return insn + 1;
}

template <class Whole, class Part, class Register>
Handler pack_or_unpack(bool pack) {
    return pack ? pack_lanes<Whole, Part, Register> : unpack_lanes<Whole, Part, Register>;
}

// bits[0]: the whole, bits[1]: a part's register, vector_width parts.
Handler find_vector_move(const Key& key, bool pack) {
    const unsigned part = key.whole_bits / key.vector_width;
    switch (key.whole_bits) {
        case 16:
            return part == 8 && key.bits[1] == 16
                       ? pack_or_unpack<uint16_t, uint8_t, uint16_t>(pack)
                       : nullptr;
        case 32:
            if (part == 8 && key.bits[1] == 16) {
                return pack_or_unpack<uint32_t, uint8_t, uint16_t>(pack);
            }
            return part == 16 && key.bits[1] == 16
                       ? pack_or_unpack<uint32_t, uint16_t, uint16_t>(pack)
                       : nullptr;
        case 64:
            if (part == 16 && key.bits[1] == 16) {
                return pack_or_unpack<uint64_t, uint16_t, uint16_t>(pack);
            }
            return part == 32 && key.bits[1] == 32
                       ? pack_or_unpack<uint64_t, uint32_t, uint32_t>(pack)
                       : nullptr;
        case 128:
            if (part == 32 && key.bits[1] == 32) {
                return pack_or_unpack<Pair, uint32_t, uint32_t>(pack);
            }
            return part == 64 && key.bits[1] == 64 ? pack_or_unpack<Pair, uint64_t, uint64_t>(pack)
                                                   : nullptr;
        default:
            return nullptr;
    }
}

// d = a + imm: between an address space's addresses and generic ones.
template <class D, class A>
const Insn* rebase_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const A* a = lanes<A>(warp, insn->op[1]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = D(a[lane] + insn->imm);
    }
    return insn + 1;
}

constexpr unsigned kRankAt = 24;
static_assert(uint64_t{1} << kRankAt == kClusterStride);

// The same place in the shared memory of the block of rank op[2]. An address keeps its high half,
// be it generic or not. A rank that there is not gives an address that nobody may touch.
template <class T>
const Insn* mapa_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    constexpr uint32_t kBeyondAll = 0xff;
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const uint32_t* rank = lanes<uint32_t>(warp, insn->op[2]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        const uint32_t window = rank[lane] < kBeyondAll ? rank[lane] + 1 : kBeyondAll;
        d[lane] = (a[lane] & ~(T{0xff} << kRankAt)) | T{window} << kRankAt;
    }
    return insn + 1;
}

template <class T>
const Insn* getctarank_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        const auto window = uint32_t(a[lane] >> kRankAt & 0xff);
        d[lane] = window == 0 ? warp.facts->cluster_rank : window - 1;
    }
    return insn + 1;
}

// The address, in local memory, of a variable of the current frame.
template <class D>
const Insn* frame_address(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const auto address = D(warp.local_base + insn->imm);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = address;
    }
    return insn + 1;
}

// The address of a kernel parameter is a generic one.
const Insn* parameter_address(Warp& warp, const Insn* insn, uint32_t mask) {
    uint64_t* d = lanes<uint64_t>(warp, insn->op[0]);
    const uint64_t address = reinterpret_cast<uint64_t>(warp.parameters) + insn->imm;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = address;
    }
    return insn + 1;
}

bool is_in_space(const Warp& warp, const Insn* insn, Space space, uint64_t address) {
    const bool in_shared = address - kSharedWindow < kWindowBytes;
    const bool in_local = address - kLocalWindow < kWindowBytes;
    const uint64_t constants = *lanes<uint64_t>(warp, insn->op[2]);
    const bool in_constant = address - constants < *lanes<uint64_t>(warp, insn->op[3]);
    const bool in_parameters =
        address - reinterpret_cast<uint64_t>(warp.parameters) < warp.facts->parameter_bytes;
    switch (space) {
        case Space::kShared: {
            const uint64_t window = (address - kSharedWindow) / kClusterStride;
            return in_shared && (window == 0 || window == warp.facts->cluster_rank + 1);
        }
        case Space::kSharedCluster:
            return in_shared;
        case Space::kLocal:
            return in_local;
        case Space::kConst:
            return in_constant;
        case Space::kParam:
            return in_parameters;
        default:
            return !in_shared && !in_local && !in_constant && !in_parameters;
    }
}

// op[2], op[3]: begin and size of the module's constants.
template <class A>
const Insn* isspacep_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const A* a = lanes<A>(warp, insn->op[1]);
    uint32_t bits = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        bits |= uint32_t(is_in_space(warp, insn, Space(insn->aux), a[lane])) << lane;
    }
    store_mask(lanes<uint32_t>(warp, insn->op[0]), bits, mask);
    return insn + 1;
}

uint32_t component(const Dim3& dimensions, unsigned index) {
    return index == 0 ? dimensions.x : index == 1 ? dimensions.y : index == 2 ? dimensions.z : 0;
}

uint32_t thread_index(const Warp& warp, unsigned lane, unsigned index) {
    const Dim3& block = warp.facts->block;
    const uint32_t thread = warp.index * kLanes + lane;
    switch (index) {
        case 0:
            return thread % block.x;
        case 1:
            return thread / block.x % block.y;
        case 2:
            return thread / block.x / block.y;
        default:
            return 0;
    }
}

uint64_t special_value(const Warp& warp, unsigned lane, Special special, unsigned index) {
    const BlockFacts& facts = *warp.facts;
    switch (special) {
        case Special::kTid:
            return thread_index(warp, lane, index);
        case Special::kNtid:
            return component(facts.block, index);
        case Special::kLaneid:
            return lane;
        case Special::kWarpid:
            return warp.index;
        case Special::kNwarpid:
            return facts.warps;
        case Special::kCtaid:
            return component(facts.index, index);
        case Special::kNctaid:
            return component(facts.grid, index);
        case Special::kSmid:
            return facts.multiprocessor;
        case Special::kNsmid:
            return facts.multiprocessors;
        case Special::kGridid:
            return facts.grid_id;
        case Special::kClusterid:
            return index < 3 ? component(facts.index, index) / component(facts.cluster, index) : 0;
        case Special::kNclusterid:
            return index < 3 ? component(facts.grid, index) / component(facts.cluster, index) : 0;
        case Special::kClusterCtaid:
            return index < 3 ? component(facts.index, index) % component(facts.cluster, index) : 0;
        case Special::kClusterNctaid:
            return component(facts.cluster, index);
        case Special::kClusterCtarank:
            return facts.cluster_rank;
        case Special::kClusterNctarank:
            return uint64_t{facts.cluster.x} * facts.cluster.y * facts.cluster.z;
        case Special::kLanemaskEq:
            return uint32_t{1} << lane;
        case Special::kLanemaskLe:
            return kAllLanes >> (31 - lane);
        case Special::kLanemaskLt:
            return (uint32_t{1} << lane) - 1;
        case Special::kLanemaskGe:
            return kAllLanes << lane;
        case Special::kLanemaskGt:
            return ~(kAllLanes >> (31 - lane));
        case Special::kEnvreg:
            return index == 1   ? uint32_t(facts.grid_workspace >> 32)
                   : index == 2 ? uint32_t(facts.grid_workspace)
                                : 0;
        case Special::kTotalSmemSize:
            return facts.total_shared;
        case Special::kAggrSmemSize:
            return warp.shared_bytes;
        case Special::kReservedSmemBegin:
            return facts.reserved_shared;
        case Special::kReservedSmemEnd:
            return facts.reserved_shared + kReservedShared;
        case Special::kReservedSmemCap:
            return kReservedShared;
        // The parts that are for whoever asks first, %reserved_smem_offset_0, and second.
        case Special::kReservedSmemOffset:
            return facts.reserved_shared + index * (kReservedShared / 2);
        case Special::kIsExplicitCluster:
            return facts.explicit_cluster ? 1 : 0;
        // Nobody has set up a performance counter.
        case Special::kPm:
        case Special::kPm64:
            return 0;
        case Special::kDynamicSmemSize:
            return facts.dynamic_shared;
        default:
            return 0;
    }
}

enum class Across { kEqual, kCounted, kAny };

/// How a register's values go on from lane 0 to the others.
Across across_lanes(const Warp& warp, Special special, unsigned index) {
    const Dim3& block = warp.facts->block;
    switch (special) {
        case Special::kTid:
            // Where lanes and rows of threads do not end together, a warp lies in several rows.
            if (block.x % kLanes != 0 && (block.y != 1 || block.z != 1)) return Across::kAny;
            return index == 0 ? Across::kCounted : Across::kEqual;
        case Special::kLaneid:
            return Across::kCounted;
        case Special::kLanemaskEq:
        case Special::kLanemaskLe:
        case Special::kLanemaskLt:
        case Special::kLanemaskGe:
        case Special::kLanemaskGt:
            return Across::kAny;
        default:
            return Across::kEqual;
    }
}

template <class D>
void store_counted(D* d, uint32_t mask, D first, D step) {
    CUBAR_EACH_LANE {
        const D value = D(first + D(lane) * step);
        d[lane] = has_lane(mask, lane) ? value : d[lane];
    }
}

// aux: the register, count: its component. Time is read once for the warp.
template <class D>
const Insn* special_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const auto special = Special(insn->aux);
    uint64_t time = 0;
    bool timed = true;
    switch (special) {
        case Special::kClock:
        case Special::kClock64:
            time = __builtin_ia32_rdtsc();
            break;
        case Special::kClockHi:
            time = __builtin_ia32_rdtsc() >> 32;
            break;
        case Special::kGlobaltimer:
        case Special::kGlobaltimerLo:
            time = global_timer();
            break;
        case Special::kGlobaltimerHi:
            time = global_timer() >> 32;
            break;
        default:
            timed = false;
            break;
    }
    if (timed) {
        warp.spun = true;
        warp.budget -= kPollCost;
        store_counted(d, mask, D(time), D(0));
        return insn + 1;
    }
    const Across across = across_lanes(warp, special, insn->count);
    if (across != Across::kAny) {
        const D first = D(special_value(warp, 0, special, insn->count));
        store_counted(d, mask, first, D(across == Across::kCounted));
        return insn + 1;
    }
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = D(special_value(warp, lane, special, insn->count));
    }
    return insn + 1;
}

const Insn* special_predicate(Warp& warp, const Insn* insn, uint32_t mask) {
    const bool value = special_value(warp, 0, Special(insn->aux), 0) != 0;
    store_mask(lanes<uint32_t>(warp, insn->op[0]), value ? kAllLanes : 0, mask);
    return insn + 1;
}

Handler find_special(const Key& key) {
    if (key.special == Special::kCurrentGraphExec) return nullptr;
    if (key.bits[0] == 1) {
        return key.special == Special::kIsExplicitCluster ? special_predicate : nullptr;
    }
    return key.bits[0] == 64   ? special_lanes<uint64_t>
           : key.bits[0] == 32 ? special_lanes<uint32_t>
           : key.bits[0] == 16 ? special_lanes<uint16_t>
                               : nullptr;
}

}  // namespace

Handler find_move(const Key& key) {
    switch (key.opcode) {
        case Opcode::kMov:
            switch (key.form) {
                case MoveForm::kPack:
                    return find_vector_move(key, true);
                case MoveForm::kUnpack:
                    return find_vector_move(key, false);
                case MoveForm::kSpecial:
                    return find_special(key);
                case MoveForm::kFrameAddress:
                    return key.bits[0] == 64 ? frame_address<uint64_t> : frame_address<uint32_t>;
                case MoveForm::kParameterAddress:
                    return key.bits[0] == 64 ? parameter_address : nullptr;
                default:
                    break;
            }
            switch (key.bits[0]) {
                case 1:
                    return copy_predicate;
                case 16:
                    return copy_lanes<uint16_t>;
                case 32:
                    return copy_lanes<uint32_t>;
                case 64:
                    return copy_lanes<uint64_t>;
                case 128:
                    return copy_lanes<Pair>;
                default:
                    return nullptr;
            }
        case Opcode::kCvta:
            if (key.bits[0] == 64) {
                return key.bits[1] == 64 ? rebase_lanes<uint64_t, uint64_t>
                                         : rebase_lanes<uint64_t, uint32_t>;
            }
            return key.bits[1] == 64 ? rebase_lanes<uint32_t, uint64_t>
                                     : rebase_lanes<uint32_t, uint32_t>;
        case Opcode::kMapa:
            return key.bits[0] == 64 ? mapa_lanes<uint64_t> : mapa_lanes<uint32_t>;
        case Opcode::kGetctarank:
            return key.bits[1] == 64 ? getctarank_lanes<uint64_t> : getctarank_lanes<uint32_t>;
        case Opcode::kIsspacep:
            return key.bits[1] == 64 ? isspacep_lanes<uint64_t> : isspacep_lanes<uint32_t>;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
