// SPDX-License-Identifier: Apache-2.0
// What atom, red and the copies that reduce do to one element in memory: a kind of elements, which
// says by apply<operation>(at, b, c) what becomes of the one at `at`, and gives what was there. See
// lanes.h about the unnamed namespace.
#pragma once

#include "softgpu/exec/handlers/float_types.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::Operation;

// Replaces *at by f(*at) and gives what was there. Pairs with every other access to that place, of
// any thread.
template <class T, class F>
T exchange_with(T* at, F f) {
    T seen = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(at, &seen, f(seen), true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    return seen;
}

template <class T>
struct Integer {
    using Lane = Unsigned<T>;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane c) {
        switch (kOperation) {
            case Operation::kAdd:
                return __atomic_fetch_add(at, b, __ATOMIC_SEQ_CST);
            case Operation::kAnd:
                return __atomic_fetch_and(at, b, __ATOMIC_SEQ_CST);
            case Operation::kOr:
                return __atomic_fetch_or(at, b, __ATOMIC_SEQ_CST);
            case Operation::kXor:
                return __atomic_fetch_xor(at, b, __ATOMIC_SEQ_CST);
            case Operation::kExch:
                return __atomic_exchange_n(at, b, __ATOMIC_SEQ_CST);
            case Operation::kMin:
                return exchange_with(at, [b](Lane a) { return T(a) < T(b) ? a : b; });
            case Operation::kMax:
                return exchange_with(at, [b](Lane a) { return T(a) > T(b) ? a : b; });
            case Operation::kInc:
                return exchange_with(at, [b](Lane a) { return a >= b ? Lane(0) : Lane(a + 1); });
            case Operation::kDec:
                return exchange_with(at, [b](Lane a) { return a == 0 || a > b ? b : Lane(a - 1); });
            default:
                __atomic_compare_exchange_n(at, &b, c, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
                return b;
        }
    }
};

struct Pair {
    uint64_t low;
    uint64_t high;
};

// Sixteen bytes, aligned. The compiler has no name for this that does not call a library.
struct Wide {
    using Lane = Pair;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane c) {
        constexpr bool kCompare = kOperation == Operation::kCas;
        const Pair desired = kCompare ? c : b;
        Pair seen = kCompare ? b : *at;
        bool stored = false;
        do {  // NOLINT(bugprone-infinite-loop): the instruction writes `stored`
            asm volatile("lock cmpxchg16b %1"
                         : "=@ccz"(stored), "+m"(*at), "+a"(seen.low), "+d"(seen.high)
                         : "b"(desired.low), "c"(desired.high)
                         : "memory");
        } while (!stored && !kCompare);
        return seen;
    }
};

struct Single {
    using Lane = uint32_t;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane) {
        return exchange_with(at, [b](Lane a) {
            const float sum = as_float(a) + as_float(b);
            return sum != sum ? kNan32 : bits_of(sum);
        });
    }
};

struct Double {
    using Lane = uint64_t;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane) {
        return exchange_with(at, [b](Lane a) {
            const double sum = as_double(a) + as_double(b);
            return sum != sum ? kNan64 : bits_of(sum);
        });
    }
};

template <bool kBrain>
uint16_t combine_half(Operation operation, uint16_t a, uint16_t b) {
    const float x = kBrain ? brain_to_float(a) : half_to_float(a);
    const float y = kBrain ? brain_to_float(b) : half_to_float(b);
    if (operation == Operation::kAdd) {
        return kBrain ? float_to_brain(x + y) : float_to_half(x + y);
    }
    if (x != x || y != y) return x == x ? a : y == y ? b : kNan16;
    const bool a_first = x < y || (x == y && (a & 0x8000) != 0);
    return a_first == (operation == Operation::kMin) ? a : b;
}

template <bool kBrain>
struct Half {
    using Lane = uint16_t;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane) {
        return exchange_with(at, [b](Lane a) { return combine_half<kBrain>(kOperation, a, b); });
    }
};

template <bool kBrain>
struct HalfPair {
    using Lane = uint32_t;
    template <Operation kOperation>
    static Lane apply(Lane* at, Lane b, Lane) {
        return exchange_with(at, [b](Lane a) {
            const uint32_t low = combine_half<kBrain>(kOperation, uint16_t(a), uint16_t(b));
            const uint32_t high =
                combine_half<kBrain>(kOperation, uint16_t(a >> 16), uint16_t(b >> 16));
            return low | high << 16;
        });
    }
};

}  // namespace
}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
