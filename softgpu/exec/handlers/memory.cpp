// SPDX-License-Identifier: Apache-2.0
// ld, st and their kin: where 32 addresses lead, and whether a thread may go there.
#include "softgpu/exec/handlers/memory_access.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

template <class Memory>
Memory read(const char* from) {
    Memory value;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

struct Pair {
    uint64_t low;
    uint64_t high;
};

// Extends by Memory's sign to the register's width.
template <class Register, class Memory>
Register widen(Memory value) {
    return Register(value);
}
template <>
Pair widen<Pair, Pair>(Pair value) {
    return value;
}

// op[0..count): the registers of the elements; op[4] the address.
template <ptx::Space kSpace, class Memory, class Register>
const Insn* load(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    Access access;
    const unsigned bytes = unsigned(sizeof(Memory)) * insn->count;
    if (!resolve<kSpace>(warp, insn, mask, insn->op[4], bytes, access)) return nullptr;
    if (access.uniform) {
        for (unsigned element = 0; element < insn->count; ++element) {
            Register* to = lanes<Register>(warp, insn->op[element]);
            const auto value = widen<Register>(
                read<Memory>(access.at[0] + element * sizeof(Memory)));
            CUBAR_EACH_LANE to[lane] = value;
        }
        return insn + 1;
    }
    if (access.contiguous && insn->count == 1) {
        Register* to = lanes<Register>(warp, insn->op[0]);
        const char* from = access.at[0];
        CUBAR_EACH_LANE to[lane] = widen<Register>(read<Memory>(from + lane * sizeof(Memory)));
        return insn + 1;
    }
    for (unsigned element = 0; element < insn->count; ++element) {
        Register* to = lanes<Register>(warp, insn->op[element]);
        const unsigned offset = element * unsigned(sizeof(Memory));
        if (mask == kAllLanes) {
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                to[lane] = widen<Register>(read<Memory>(access.at[lane] + offset));
            }
        } else {
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                if (!has_lane(mask, lane)) continue;
                to[lane] = widen<Register>(read<Memory>(access.at[lane] + offset));
            }
        }
    }
    return insn + 1;
}

template <class Memory, class Register>
Memory narrow(Register value) {
    return Memory(value);
}
template <>
Pair narrow<Pair, Pair>(Pair value) {
    return value;
}

template <ptx::Space kSpace, class Memory, class Register>
const Insn* store(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    Access access;
    const unsigned bytes = unsigned(sizeof(Memory)) * insn->count;
    if (!resolve<kSpace>(warp, insn, mask, insn->op[4], bytes, access)) return nullptr;
    if (access.contiguous && insn->count == 1) {
        const Register* from = lanes<Register>(warp, insn->op[0]);
        auto* to = reinterpret_cast<Memory*>(access.at[0]);
        CUBAR_EACH_LANE to[lane] = narrow<Memory>(from[lane]);
        return insn + 1;
    }
    for (unsigned element = 0; element < insn->count; ++element) {
        const Register* from = lanes<Register>(warp, insn->op[element]);
        const unsigned offset = element * unsigned(sizeof(Memory));
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (!has_lane(mask, lane)) continue;
            const auto value = narrow<Memory>(from[lane]);
            __builtin_memcpy(access.at[lane] + offset, &value, sizeof(value));
        }
    }
    return insn + 1;
}

// Kernel parameters: the same value for all lanes, at a place known when the module was loaded.
template <class Memory, class Register>
const Insn* load_parameter(Warp& warp, const Insn* insn, uint32_t mask) {
    const char* from = warp.parameters + insn->imm;
    for (unsigned element = 0; element < insn->count; ++element) {
        Register* to = lanes<Register>(warp, insn->op[element]);
        const auto value = widen<Register>(read<Memory>(from + element * sizeof(Memory)));
        if (mask == kAllLanes) {
            CUBAR_EACH_LANE to[lane] = value;
        } else {
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                if (has_lane(mask, lane)) to[lane] = value;
            }
        }
    }
    return insn + 1;
}

// A load that others may be waiting to satisfy, or that waits for others: a warp that does nothing
// else soon gives way.
template <Handler kInner>
const Insn* polling(Warp& warp, const Insn* insn, uint32_t mask) {
    warp.budget -= kPollCost;
    warp.spun = true;
    return kInner(warp, insn, mask);
}

// Sequential consistency and acquire order need no more than program order on x86, except that a
// store must not be passed by a later load: fences are instructions of their own.
template <class Memory, class Register>
Handler find_load(const Key& key) {
    using ptx::Space;
    const bool polls = key.semantics == ptx::Semantics::kVolatile ||
                       key.semantics == ptx::Semantics::kAcquire ||
                       key.semantics == ptx::Semantics::kRelaxed ||
                       key.semantics == ptx::Semantics::kMmio;
    switch (key.space) {
        case Space::kGlobal:
        case Space::kConst:
            return polls ? polling<load<Space::kGlobal, Memory, Register>>
                         : load<Space::kGlobal, Memory, Register>;
        case Space::kGeneric:
            return polls ? polling<load<Space::kGeneric, Memory, Register>>
                         : load<Space::kGeneric, Memory, Register>;
        case Space::kShared:
        case Space::kSharedCluster:
            return polls ? polling<load<Space::kShared, Memory, Register>>
                         : load<Space::kShared, Memory, Register>;
        case Space::kLocal: return load<Space::kLocal, Memory, Register>;
        case Space::kParam: return load_parameter<Memory, Register>;
        default: return nullptr;
    }
}

template <class Memory, class Register>
Handler find_store(const Key& key) {
    using ptx::Space;
    switch (key.space) {
        case Space::kGlobal: return store<Space::kGlobal, Memory, Register>;
        case Space::kGeneric: return store<Space::kGeneric, Memory, Register>;
        case Space::kShared:
        case Space::kSharedCluster: return store<Space::kShared, Memory, Register>;
        case Space::kLocal: return store<Space::kLocal, Memory, Register>;
        default: return nullptr;
    }
}

template <class Memory, class Register>
Handler find_access(const Key& key) {
    return key.opcode == Opcode::kSt ? find_store<Memory, Register>(key)
                                     : find_load<Memory, Register>(key);
}

template <class Memory>
Handler find_by_register(const Key& key) {
    switch (key.bits[0]) {
        case 16:
            if constexpr (sizeof(Memory) <= 2) return find_access<Memory, uint16_t>(key);
            return nullptr;
        case 32:
            if constexpr (sizeof(Memory) <= 4) return find_access<Memory, uint32_t>(key);
            return nullptr;
        case 64: return find_access<Memory, uint64_t>(key);
        default: return nullptr;
    }
}

}  // namespace

Handler find_memory(const Key& key) {
    if (key.opcode != Opcode::kLd && key.opcode != Opcode::kLdu && key.opcode != Opcode::kSt) {
        return nullptr;
    }
    const bool extend = key.opcode != Opcode::kSt;  // a store only narrows
    switch (key.type[0]) {
        case Type::kB8:
        case Type::kU8: return find_by_register<uint8_t>(key);
        case Type::kS8: return extend ? find_by_register<int8_t>(key) : find_by_register<uint8_t>(key);
        case Type::kB16:
        case Type::kF16:
        case Type::kBf16:
        case Type::kU16: return find_by_register<uint16_t>(key);
        case Type::kS16:
            return extend ? find_by_register<int16_t>(key) : find_by_register<uint16_t>(key);
        case Type::kB32:
        case Type::kF32:
        case Type::kU32: return find_by_register<uint32_t>(key);
        case Type::kS32:
            return extend ? find_by_register<int32_t>(key) : find_by_register<uint32_t>(key);
        case Type::kB64:
        case Type::kF64:
        case Type::kU64:
        case Type::kS64: return find_by_register<uint64_t>(key);
        case Type::kB128: return find_access<Pair, Pair>(key);
        default: return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
