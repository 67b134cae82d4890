// SPDX-License-Identifier: Apache-2.0
// How a function of scalars becomes a handler over 32 lanes. Included by the handlers' translation
// units only, each of which is compiled once for each instruction set: everything is in an unnamed
// namespace, so that the linker can never merge code of two instruction sets.
#pragma once

#include <cstdint>

#include "softgpu/exec/key.h"
#include "softgpu/exec/warp.h"

#ifdef __clang__
#define CUBAR_EACH_LANE \
    _Pragma("clang loop vectorize(assume_safety)") for (unsigned lane = 0; lane < kLanes; ++lane)
#else
#define CUBAR_EACH_LANE _Pragma("GCC ivdep") for (unsigned lane = 0; lane < kLanes; ++lane)
#endif

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Modifier;
using ptx::Opcode;
using ptx::Type;

[[maybe_unused]] inline bool has_lane(uint32_t mask, unsigned lane) {
    return (mask >> lane & 1) != 0;
}

// Values of inactive lanes stay as they are.
template <class T>
inline void store_lanes(T* to, const T* from, uint32_t mask) {
    CUBAR_EACH_LANE to[lane] = has_lane(mask, lane) ? from[lane] : to[lane];
}

inline void store_mask(uint32_t* to, uint32_t value, uint32_t mask) {
    *to = (*to & ~mask) | (value & mask);
}

// The functions given to unary, binary and ternary are total: they are computed for inactive lanes
// too (whose results are dropped), which lets the compiler use vectors.

template <class D, class A, class F>
const Insn* unary_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const A* a = lanes<A>(warp, insn->op[1]);
    if (mask == kAllLanes) {
        CUBAR_EACH_LANE d[lane] = F{}(a[lane]);
    } else {
        alignas(64) D result[kLanes];
        CUBAR_EACH_LANE result[lane] = F{}(a[lane]);
        store_lanes(d, result, mask);
    }
    return insn + 1;
}

template <class D, class A, class B, class F>
const Insn* binary_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const A* a = lanes<A>(warp, insn->op[1]);
    const B* b = lanes<B>(warp, insn->op[2]);
    if (mask == kAllLanes) {
        CUBAR_EACH_LANE d[lane] = F{}(a[lane], b[lane]);
    } else {
        alignas(64) D result[kLanes];
        CUBAR_EACH_LANE result[lane] = F{}(a[lane], b[lane]);
        store_lanes(d, result, mask);
    }
    return insn + 1;
}

template <class D, class A, class B, class C, class F>
const Insn* ternary_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const A* a = lanes<A>(warp, insn->op[1]);
    const B* b = lanes<B>(warp, insn->op[2]);
    const C* c = lanes<C>(warp, insn->op[3]);
    if (mask == kAllLanes) {
        CUBAR_EACH_LANE d[lane] = F{}(a[lane], b[lane], c[lane]);
    } else {
        alignas(64) D result[kLanes];
        CUBAR_EACH_LANE result[lane] = F{}(a[lane], b[lane], c[lane]);
        store_lanes(d, result, mask);
    }
    return insn + 1;
}

template <class D, class A = D, class F>
Handler unary(F) {
    return unary_lanes<D, A, F>;
}

template <class D, class A = D, class B = A, class F>
Handler binary(F) {
    return binary_lanes<D, A, B, F>;
}

template <class D, class A = D, class B = A, class C = D, class F>
Handler ternary(F) {
    return ternary_lanes<D, A, B, C, F>;
}

// For functions that cost much in each lane: inactive lanes are skipped.

template <class D, class A, class F>
const Insn* unary_slow_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    D* d = lanes<D>(warp, insn->op[0]);
    const A* a = lanes<A>(warp, insn->op[1]);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = F{}(a[lane], *insn);
    }
    return insn + 1;
}

/// The function gets the instruction too, for what is not worth a handler of its own.
template <class D, class A = D, class F>
Handler unary_slow(F) {
    return unary_slow_lanes<D, A, F>;
}

// Calls visit with a zero of the C++ type that holds `type`; null for a type that is no integer.
template <class Visit>
Handler with_integer(Type type, Visit visit) {
    switch (type) {
        case Type::kU16:
            return visit(uint16_t{});
        case Type::kS16:
            return visit(int16_t{});
        case Type::kU32:
            return visit(uint32_t{});
        case Type::kS32:
            return visit(int32_t{});
        case Type::kU64:
            return visit(uint64_t{});
        case Type::kS64:
            return visit(int64_t{});
        default:
            return nullptr;
    }
}

template <class Visit>
Handler with_bits(Type type, Visit visit) {
    switch (type) {
        case Type::kB16:
        case Type::kU16:
        case Type::kS16:
            return visit(uint16_t{});
        case Type::kB32:
        case Type::kU32:
        case Type::kS32:
            return visit(uint32_t{});
        case Type::kB64:
        case Type::kU64:
        case Type::kS64:
            return visit(uint64_t{});
        default:
            return nullptr;
    }
}

template <class T>
struct WiderOf;
template <>
struct WiderOf<uint16_t> {
    using Type = uint32_t;
};
template <>
struct WiderOf<int16_t> {
    using Type = int32_t;
};
template <>
struct WiderOf<uint32_t> {
    using Type = uint64_t;
};
template <>
struct WiderOf<int32_t> {
    using Type = int64_t;
};
template <>
struct WiderOf<uint64_t> {
    using Type = unsigned __int128;
};
template <>
struct WiderOf<int64_t> {
    using Type = __int128;
};
template <class T>
using Wider = typename WiderOf<T>::Type;

template <class T>
struct UnsignedOf {
    using Type = T;
};
template <>
struct UnsignedOf<int16_t> {
    using Type = uint16_t;
};
template <>
struct UnsignedOf<int32_t> {
    using Type = uint32_t;
};
template <>
struct UnsignedOf<int64_t> {
    using Type = uint64_t;
};
template <class T>
using Unsigned = typename UnsignedOf<T>::Type;

template <class T>
inline constexpr bool kIsSigned = T(-1) < T(0);

}  // namespace

// One finder for each translation unit; null when the instruction is not one of its subject.
Handler find_integer(const Key& key);
Handler find_bits(const Key& key);
Handler find_compare(const Key& key);
Handler find_float(const Key& key);
Handler find_half(const Key& key);
Handler find_approximate(const Key& key);
Handler find_convert(const Key& key);
Handler find_memory(const Key& key);
Handler find_atomic(const Key& key);
Handler find_move(const Key& key);
Handler find_warp(const Key& key);
Handler find_mma(const Key& key);
Handler find_mma_quads(const Key& key);
Handler find_wmma(const Key& key);
Handler find_ldmatrix(const Key& key);
Handler find_mbarrier(const Key& key);
Handler find_async_copy(const Key& key);

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
