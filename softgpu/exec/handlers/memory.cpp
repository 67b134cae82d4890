// SPDX-License-Identifier: Apache-2.0
// ld, st and their kin: where 32 addresses lead, and whether a thread may go there.
//
// What one lane reads or writes, up to 16 bytes, goes to or from memory in one access, as on
// hardware: programs publish a value together with its flag that way (the look-back scans of CUB).
// Accesses that PTX calls strong (.relaxed and above, .volatile) are atomic ones of the compiler
// too; acquire and release cost nothing more on x86. Weak ones may become vector accesses, which do
// not tear elements either.
#include "softgpu/exec/handlers/memory_access.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

constexpr unsigned kMostBytes = 64;  // of one lane: four elements of 16
constexpr unsigned kChunkBytes = 16;

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

template <class Memory, class Register>
Memory narrow(Register value) {
    return Memory(value);
}
template <>
Pair narrow<Pair, Pair>(Pair value) {
    return value;
}

// --- one lane's bytes, at once ---

// Pairs with put_once() and with atomics, of any thread, at the same place.
template <class Word>
void take_word(char* to, const char* from) {
    const Word word = __atomic_load_n(reinterpret_cast<const Word*>(from), __ATOMIC_ACQUIRE);
    __builtin_memcpy(to, &word, sizeof(word));
}

template <class Word>
void put_word(char* to, const char* from) {
    Word word;
    __builtin_memcpy(&word, from, sizeof(word));
    __atomic_store_n(reinterpret_cast<Word*>(to), word, __ATOMIC_RELEASE);
}

// Aligned accesses of 16 bytes are atomic on every processor that has AVX. The compiler has no name
// for them that does not call a library.
using Chunk = long long __attribute__((vector_size(kChunkBytes)));
#ifdef __AVX__
#define CUBAR_MOVE_CHUNK "vmovdqa %1, %0"
#else
#define CUBAR_MOVE_CHUNK "movdqa %1, %0"
#endif

void take_chunk(char* to, const char* from) {
    Chunk chunk;
    asm volatile(CUBAR_MOVE_CHUNK : "=x"(chunk) : "m"(*reinterpret_cast<const Chunk*>(from)));
    *reinterpret_cast<Chunk*>(to) = chunk;
}

void put_chunk(char* to, const char* from) {
    const Chunk chunk = *reinterpret_cast<const Chunk*>(from);
    asm volatile(CUBAR_MOVE_CHUNK : "=m"(*reinterpret_cast<Chunk*>(to)) : "x"(chunk));
}

#undef CUBAR_MOVE_CHUNK

// The bytes of all lanes, one lane after the other.
struct alignas(64) Packed {
    char bytes[kLanes * kMostBytes];
};

// `bytes` of each lane, a power of two, between memory and `packed`.
template <bool kTake>
void move_once(Packed& packed, char* const* at, unsigned bytes, uint32_t mask) {
    const auto each = [&](auto move) {
        if (mask == kAllLanes) {
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                move(packed.bytes + lane * bytes, at[lane]);
            }
            return;
        }
        for (uint32_t left = mask; left != 0; left &= left - 1) {
            const auto lane = unsigned(__builtin_ctz(left));
            move(packed.bytes + lane * bytes, at[lane]);
        }
    };
    const auto words = [&](auto zero) {
        using Word = decltype(zero);
        each([](char* own, char* place) {
            kTake ? take_word<Word>(own, place) : put_word<Word>(place, own);
        });
    };
    switch (bytes) {
        case 1:
            return words(uint8_t{});
        case 2:
            return words(uint16_t{});
        case 4:
            return words(uint32_t{});
        case 8:
            return words(uint64_t{});
        default:
            each([bytes](char* own, char* place) {
                for (unsigned done = 0; done < bytes; done += kChunkBytes) {
                    kTake ? take_chunk(own + done, place + done)
                          : put_chunk(place + done, own + done);
                }
            });
    }
}

template <unsigned kCount, class Memory, class Register>
void unpack(const Warp& warp, const Insn* insn, uint32_t mask, const Packed& packed) {
    const auto* from = reinterpret_cast<const Memory*>(packed.bytes);
    for (unsigned element = 0; element < kCount; ++element) {
        Register* to = lanes<Register>(warp, insn->op[element]);
        if (mask == kAllLanes) {
            CUBAR_EACH_LANE to[lane] = widen<Register>(from[lane * kCount + element]);
        } else {
            CUBAR_EACH_LANE to[lane] =
                has_lane(mask, lane) ? widen<Register>(from[lane * kCount + element]) : to[lane];
        }
    }
}

template <unsigned kCount, class Memory, class Register>
void pack(const Warp& warp, const Insn* insn, Packed& packed) {
    auto* to = reinterpret_cast<Memory*>(packed.bytes);
    for (unsigned element = 0; element < kCount; ++element) {
        const Register* from = lanes<Register>(warp, insn->op[element]);
        CUBAR_EACH_LANE to[lane * kCount + element] = narrow<Memory>(from[lane]);
    }
}

template <class Memory, class Register>
void load_lanes(const Warp& warp, const Insn* insn, uint32_t mask, const Access& access,
                unsigned bytes) {
    Packed packed;
    move_once<true>(packed, access.at, bytes, mask);
    switch (insn->count) {
        case 1:
            return unpack<1, Memory, Register>(warp, insn, mask, packed);
        case 2:
            return unpack<2, Memory, Register>(warp, insn, mask, packed);
        default:
            return unpack<4, Memory, Register>(warp, insn, mask, packed);
    }
}

// Whether any move of the compiler's takes it whole.
template <class Memory>
constexpr bool kIsWord = sizeof(Memory) <= sizeof(uint64_t);

// op[0..count): the registers of the elements (1, 2 or 4); op[4] the address.
template <ptx::Space kSpace, class Memory, class Register, bool kStrong>
const Insn* load(Warp& warp, const Insn* insn, uint32_t mask) {
    if constexpr (kStrong) {
        // One that others may be waiting to satisfy, or that waits for others: a warp that does
        // nothing else soon gives way.
        warp.budget -= kPollCost;
        warp.spun = true;
    }
    if (mask == 0) return insn + 1;
    Access access;
    const unsigned bytes = unsigned(sizeof(Memory)) * insn->count;
    if (!resolve<kSpace>(warp, insn, mask, insn->op[4], bytes, access)) return nullptr;
    if (access.uniform) {
        Packed packed;
        move_once<true>(packed, access.at, bytes, 1);
        for (unsigned element = 0; element < insn->count; ++element) {
            Register* to = lanes<Register>(warp, insn->op[element]);
            const auto value =
                widen<Register>(read<Memory>(packed.bytes + element * sizeof(Memory)));
            CUBAR_EACH_LANE to[lane] = value;
        }
        return insn + 1;
    }
    if (kStrong || insn->count != 1 || !kIsWord<Memory>) {
        load_lanes<Memory, Register>(warp, insn, mask, access, bytes);
        return insn + 1;
    }
    Register* to = lanes<Register>(warp, insn->op[0]);
    if (access.contiguous) {
        const auto* from = reinterpret_cast<const Memory*>(access.at[0]);
        CUBAR_EACH_LANE to[lane] = widen<Register>(from[lane]);
    } else if (mask == kAllLanes) {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            to[lane] = widen<Register>(read<Memory>(access.at[lane]));
        }
    } else {
        for (uint32_t left = mask; left != 0; left &= left - 1) {
            const int lane = __builtin_ctz(left);
            to[lane] = widen<Register>(read<Memory>(access.at[lane]));
        }
    }
    return insn + 1;
}

template <ptx::Space kSpace, class Memory, class Register, bool kStrong>
const Insn* store(Warp& warp, const Insn* insn, uint32_t mask) {
    if (mask == 0) return insn + 1;
    Access access;
    const unsigned bytes = unsigned(sizeof(Memory)) * insn->count;
    if (!resolve<kSpace>(warp, insn, mask, insn->op[4], bytes, access)) return nullptr;
    if (!kStrong && access.contiguous && insn->count == 1 && kIsWord<Memory>) {
        const Register* from = lanes<Register>(warp, insn->op[0]);
        auto* to = reinterpret_cast<Memory*>(access.at[0]);
        CUBAR_EACH_LANE to[lane] = narrow<Memory>(from[lane]);
        return insn + 1;
    }
    Packed packed;
    switch (insn->count) {
        case 1:
            pack<1, Memory, Register>(warp, insn, packed);
            break;
        case 2:
            pack<2, Memory, Register>(warp, insn, packed);
            break;
        default:
            pack<4, Memory, Register>(warp, insn, packed);
            break;
    }
    move_once<false>(packed, access.at, bytes, mask);
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

bool is_strong(ptx::Semantics semantics) {
    return semantics == ptx::Semantics::kVolatile || semantics == ptx::Semantics::kAcquire ||
           semantics == ptx::Semantics::kRelease || semantics == ptx::Semantics::kRelaxed ||
           semantics == ptx::Semantics::kMmio;
}

template <class Memory, class Register, bool kStrong>
Handler find_load(const Key& key) {
    using ptx::Space;
    switch (key.space) {
        case Space::kGlobal:
        case Space::kConst:
            return load<Space::kGlobal, Memory, Register, kStrong>;
        case Space::kGeneric:
            return load<Space::kGeneric, Memory, Register, kStrong>;
        case Space::kShared:
        case Space::kSharedCluster:
            return load<Space::kShared, Memory, Register, kStrong>;
        case Space::kLocal:
            return load<Space::kLocal, Memory, Register, false>;
        case Space::kParam:
            return load_parameter<Memory, Register>;
        default:
            return nullptr;
    }
}

template <class Memory, class Register, bool kStrong>
Handler find_store(const Key& key) {
    using ptx::Space;
    switch (key.space) {
        case Space::kGlobal:
            return store<Space::kGlobal, Memory, Register, kStrong>;
        case Space::kGeneric:
            return store<Space::kGeneric, Memory, Register, kStrong>;
        case Space::kShared:
        case Space::kSharedCluster:
            return store<Space::kShared, Memory, Register, kStrong>;
        case Space::kLocal:
            return store<Space::kLocal, Memory, Register, false>;
        default:
            return nullptr;
    }
}

template <class Memory, class Register>
Handler find_access(const Key& key) {
    const bool strong = is_strong(key.semantics);
    if (key.opcode == Opcode::kSt) {
        return strong ? find_store<Memory, Register, true>(key)
                      : find_store<Memory, Register, false>(key);
    }
    return strong ? find_load<Memory, Register, true>(key)
                  : find_load<Memory, Register, false>(key);
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
        case 64:
            return find_access<Memory, uint64_t>(key);
        default:
            return nullptr;
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
        case Type::kU8:
            return find_by_register<uint8_t>(key);
        case Type::kS8:
            return extend ? find_by_register<int8_t>(key) : find_by_register<uint8_t>(key);
        case Type::kB16:
        case Type::kF16:
        case Type::kBf16:
        case Type::kU16:
            return find_by_register<uint16_t>(key);
        case Type::kS16:
            return extend ? find_by_register<int16_t>(key) : find_by_register<uint16_t>(key);
        case Type::kB32:
        case Type::kF32:
        case Type::kU32:
            return find_by_register<uint32_t>(key);
        case Type::kS32:
            return extend ? find_by_register<int32_t>(key) : find_by_register<uint32_t>(key);
        case Type::kB64:
        case Type::kF64:
        case Type::kU64:
        case Type::kS64:
            return find_by_register<uint64_t>(key);
        case Type::kB128:
            return find_access<Pair, Pair>(key);
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
