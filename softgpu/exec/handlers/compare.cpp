// SPDX-License-Identifier: Apache-2.0
// setp, set, selp, slct, testp: comparisons and selection.
#include "softgpu/exec/handlers/float_types.h"
#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

using ptx::BoolOp;
using ptx::Compare;

template <Compare kCompare, class T>
bool holds(T a, T b) {
    const bool unordered = a != a || b != b;
    switch (kCompare) {
        case Compare::kEq:
            return a == b;
        case Compare::kNe:
            return !unordered && a != b;
        case Compare::kLt:
            return a < b;
        case Compare::kLe:
            return a <= b;
        case Compare::kGt:
            return a > b;
        case Compare::kGe:
            return a >= b;
        case Compare::kEqu:
            return unordered || a == b;
        case Compare::kNeu:
            return unordered || a != b;
        case Compare::kLtu:
            return unordered || a < b;
        case Compare::kLeu:
            return unordered || a <= b;
        case Compare::kGtu:
            return unordered || a > b;
        case Compare::kGeu:
            return unordered || a >= b;
        case Compare::kNum:
            return !unordered;
        case Compare::kNan:
            return unordered;
        default:
            return false;
    }
}

uint32_t combine(BoolOp op, uint32_t value, uint32_t with) {
    switch (op) {
        case BoolOp::kAnd:
            return value & with;
        case BoolOp::kOr:
            return value | with;
        case BoolOp::kXor:
            return value ^ with;
        default:
            return value;
    }
}

// How a register's bits are read for comparison.
template <class T>
struct Plain {
    using Lane = T;
    static T read(T a) { return a; }
};
template <bool kFtz>
struct Single {
    using Lane = uint32_t;
    static float read(uint32_t a) { return as_float(kFtz ? flush(a) : a); }
};
template <bool kFtz>
struct Half {
    using Lane = uint16_t;
    static float read(uint16_t a) { return half_to_float(kFtz ? flush_half(a) : a); }
};
struct Brain {
    using Lane = uint16_t;
    static float read(uint16_t a) { return brain_to_float(a); }
};

template <class Reader, Compare kCompare>
uint32_t compare_lanes(const Warp& warp, Slot slot_a, Slot slot_b) {
    const auto* a = lanes<typename Reader::Lane>(warp, slot_a);
    const auto* b = lanes<typename Reader::Lane>(warp, slot_b);
    uint32_t bits = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        bits |= uint32_t(holds<kCompare>(Reader::read(a[lane]), Reader::read(b[lane]))) << lane;
    }
    return bits;
}

// p|q = a compare b; op[4] is the predicate to combine with, aux the BoolOp.
template <class Reader, Compare kCompare>
const Insn* setp_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const uint32_t bits = compare_lanes<Reader, kCompare>(warp, insn->op[2], insn->op[3]);
    const uint32_t with = *lanes<uint32_t>(warp, insn->op[4]);
    const auto op = BoolOp(insn->aux);
    store_mask(lanes<uint32_t>(warp, insn->op[0]), combine(op, bits, with), mask);
    store_mask(lanes<uint32_t>(warp, insn->op[1]), combine(op, ~bits, with), mask);
    return insn + 1;
}

// Both halves of a packed register: p is the low half's answer, q the high half's.
template <class Reader, Compare kCompare>
const Insn* setp_packed(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto* a = lanes<uint32_t>(warp, insn->op[2]);
    const auto* b = lanes<uint32_t>(warp, insn->op[3]);
    uint32_t low = 0;
    uint32_t high = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        const auto first = Reader::read(uint16_t(a[lane]));
        const auto second = Reader::read(uint16_t(a[lane] >> 16));
        low |= uint32_t(holds<kCompare>(first, Reader::read(uint16_t(b[lane])))) << lane;
        high |= uint32_t(holds<kCompare>(second, Reader::read(uint16_t(b[lane] >> 16)))) << lane;
    }
    const uint32_t with = *lanes<uint32_t>(warp, insn->op[4]);
    const auto op = BoolOp(insn->aux);
    store_mask(lanes<uint32_t>(warp, insn->op[0]), combine(op, low, with), mask);
    store_mask(lanes<uint32_t>(warp, insn->op[1]), combine(op, high, with), mask);
    return insn + 1;
}

// d = a compare b, as all ones or as 1.0; imm is the pattern of "true".
template <class Reader, Compare kCompare, class D>
const Insn* set_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    const uint32_t bits = compare_lanes<Reader, kCompare>(warp, insn->op[1], insn->op[2]);
    const uint32_t answer = combine(BoolOp(insn->aux), bits, *lanes<uint32_t>(warp, insn->op[3]));
    D* d = lanes<D>(warp, insn->op[0]);
    const auto yes = D(insn->imm);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (has_lane(mask, lane)) d[lane] = has_lane(answer, lane) ? yes : D(0);
    }
    return insn + 1;
}

template <class Reader, Compare kCompare>
const Insn* set_packed(Warp& warp, const Insn* insn, uint32_t mask) {
    const auto* a = lanes<uint32_t>(warp, insn->op[1]);
    const auto* b = lanes<uint32_t>(warp, insn->op[2]);
    const uint32_t with = *lanes<uint32_t>(warp, insn->op[3]);
    uint32_t* d = lanes<uint32_t>(warp, insn->op[0]);
    const auto yes = uint32_t(insn->imm & 0xffff);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(mask, lane)) continue;
        const uint32_t other = with >> lane & 1;
        uint32_t result = 0;
        for (unsigned shift = 0; shift < 32; shift += 16) {
            const bool is = holds<kCompare>(Reader::read(uint16_t(a[lane] >> shift)),
                                            Reader::read(uint16_t(b[lane] >> shift)));
            if ((combine(BoolOp(insn->aux), uint32_t(is), other) & 1) != 0) result |= yes << shift;
        }
        d[lane] = result;
    }
    return insn + 1;
}

template <template <Compare> class Make>
Handler with_compare(Compare compare) {
    switch (compare) {
        case Compare::kEq:
            return Make<Compare::kEq>::handler();
        case Compare::kNe:
            return Make<Compare::kNe>::handler();
        case Compare::kLo:
        case Compare::kLt:
            return Make<Compare::kLt>::handler();
        case Compare::kLs:
        case Compare::kLe:
            return Make<Compare::kLe>::handler();
        case Compare::kHi:
        case Compare::kGt:
            return Make<Compare::kGt>::handler();
        case Compare::kHs:
        case Compare::kGe:
            return Make<Compare::kGe>::handler();
        case Compare::kEqu:
            return Make<Compare::kEqu>::handler();
        case Compare::kNeu:
            return Make<Compare::kNeu>::handler();
        case Compare::kLtu:
            return Make<Compare::kLtu>::handler();
        case Compare::kLeu:
            return Make<Compare::kLeu>::handler();
        case Compare::kGtu:
            return Make<Compare::kGtu>::handler();
        case Compare::kGeu:
            return Make<Compare::kGeu>::handler();
        case Compare::kNum:
            return Make<Compare::kNum>::handler();
        case Compare::kNan:
            return Make<Compare::kNan>::handler();
        default:
            return nullptr;
    }
}

template <class Reader>
struct SetpOf {
    template <Compare kCompare>
    struct Make {
        static Handler handler() { return setp_lanes<Reader, kCompare>; }
    };
    template <Compare kCompare>
    struct MakePacked {
        static Handler handler() { return setp_packed<Reader, kCompare>; }
    };
    template <Compare kCompare>
    struct MakeSet16 {
        static Handler handler() { return set_lanes<Reader, kCompare, uint16_t>; }
    };
    template <Compare kCompare>
    struct MakeSet32 {
        static Handler handler() { return set_lanes<Reader, kCompare, uint32_t>; }
    };
    template <Compare kCompare>
    struct MakeSetPacked {
        static Handler handler() { return set_packed<Reader, kCompare>; }
    };
};

// Calls visit with the reader for values of `type`; unsigned comparison of untyped bits.
template <class Visit>
Handler with_reader(Type type, bool ftz, Visit visit) {
    switch (type) {
        case Type::kB16:
        case Type::kU16:
            return visit(Plain<uint16_t>{});
        case Type::kS16:
            return visit(Plain<int16_t>{});
        case Type::kB32:
        case Type::kU32:
            return visit(Plain<uint32_t>{});
        case Type::kS32:
            return visit(Plain<int32_t>{});
        case Type::kB64:
        case Type::kU64:
            return visit(Plain<uint64_t>{});
        case Type::kS64:
            return visit(Plain<int64_t>{});
        case Type::kF64:
            return visit(Plain<double>{});
        case Type::kF32:
            return ftz ? visit(Single<true>{}) : visit(Single<false>{});
        case Type::kF16:
            return ftz ? visit(Half<true>{}) : visit(Half<false>{});
        case Type::kBf16:
            return visit(Brain{});
        default:
            return nullptr;
    }
}

Handler find_set(const Key& key) {
    const Type type = key.type[1];
    const bool half = type == Type::kF16x2;
    if (half || type == Type::kBf16x2) {
        if (!half) return with_compare<SetpOf<Brain>::MakeSetPacked>(key.compare);
        return key.ftz ? with_compare<SetpOf<Half<true>>::MakeSetPacked>(key.compare)
                       : with_compare<SetpOf<Half<false>>::MakeSetPacked>(key.compare);
    }
    const bool narrow = key.bits[0] == 16;
    return with_reader(type, key.ftz, [&](auto reader) {
        using Reader = decltype(reader);
        return narrow ? with_compare<SetpOf<Reader>::template MakeSet16>(key.compare)
                      : with_compare<SetpOf<Reader>::template MakeSet32>(key.compare);
    });
}

Handler find_setp(const Key& key) {
    if (key.type[0] == Type::kF16x2) {
        return key.ftz ? with_compare<SetpOf<Half<true>>::MakePacked>(key.compare)
                       : with_compare<SetpOf<Half<false>>::MakePacked>(key.compare);
    }
    if (key.type[0] == Type::kBf16x2) return with_compare<SetpOf<Brain>::MakePacked>(key.compare);
    return with_reader(key.type[0], key.ftz, [&](auto reader) {
        return with_compare<SetpOf<decltype(reader)>::template Make>(key.compare);
    });
}

template <class T>
const Insn* selp_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    T* d = lanes<T>(warp, insn->op[0]);
    const T* a = lanes<T>(warp, insn->op[1]);
    const T* b = lanes<T>(warp, insn->op[2]);
    const uint32_t choose = *lanes<uint32_t>(warp, insn->op[3]);
    if (mask == kAllLanes) {
        CUBAR_EACH_LANE d[lane] = has_lane(choose, lane) ? a[lane] : b[lane];
    } else {
        alignas(64) T result[kLanes];
        CUBAR_EACH_LANE result[lane] = has_lane(choose, lane) ? a[lane] : b[lane];
        store_lanes(d, result, mask);
    }
    return insn + 1;
}

const Insn* selp_predicates(Warp& warp, const Insn* insn, uint32_t mask) {
    const uint32_t choose = *lanes<uint32_t>(warp, insn->op[3]);
    const uint32_t a = *lanes<uint32_t>(warp, insn->op[1]);
    const uint32_t b = *lanes<uint32_t>(warp, insn->op[2]);
    store_mask(lanes<uint32_t>(warp, insn->op[0]), (a & choose) | (b & ~choose), mask);
    return insn + 1;
}

Handler with_width(unsigned bits, Handler narrow, Handler middle, Handler wide) {
    return bits == 16 ? narrow : bits == 32 ? middle : bits == 64 ? wide : nullptr;
}

template <class T>
Handler find_slct(const Key& key) {
    if (key.type[1] == Type::kS32) {
        return ternary<T, T, T, int32_t>([](T a, T b, int32_t c) { return c >= 0 ? a : b; });
    }
    if (key.ftz) {
        return ternary<T, T, T, uint32_t>(
            [](T a, T b, uint32_t c) { return as_float(flush(c)) >= 0 ? a : b; });
    }
    return ternary<T, T, T, float>([](T a, T b, float c) { return c >= 0 ? a : b; });
}

// testp: what kind of number a float is, from its bits.
template <class T>
const Insn* testp_lanes(Warp& warp, const Insn* insn, uint32_t mask) {
    constexpr unsigned kFraction = sizeof(T) == 4 ? 23 : 52;
    constexpr T kExponents = T(sizeof(T) == 4 ? 0xff : 0x7ff) << kFraction;
    constexpr T kMagnitude = T(~(T(1) << (sizeof(T) * 8 - 1)));
    const T* a = lanes<T>(warp, insn->op[1]);
    uint32_t bits = 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
        const T magnitude = a[lane] & kMagnitude;
        const T exponent = magnitude & kExponents;
        bool is = false;
        switch (Modifier(insn->aux)) {
            case Modifier::kFinite:
                is = exponent != kExponents;
                break;
            case Modifier::kInfinite:
                is = magnitude == kExponents;
                break;
            case Modifier::kNumber:
                is = magnitude <= kExponents;
                break;
            case Modifier::kNotanumber:
                is = magnitude > kExponents;
                break;
            case Modifier::kNormal:
                is = exponent != 0 && exponent != kExponents;
                break;
            default:
                is = exponent == 0 && magnitude != 0;
                break;
        }
        bits |= uint32_t(is) << lane;
    }
    store_mask(lanes<uint32_t>(warp, insn->op[0]), bits, mask);
    return insn + 1;
}

}  // namespace

Handler find_compare(const Key& key) {
    switch (key.opcode) {
        case Opcode::kSetp:
            return find_setp(key);
        case Opcode::kSet:
            return find_set(key);
        case Opcode::kSelp:
            if (key.type[0] == Type::kPred) return selp_predicates;
            return with_width(key.bits[0], selp_lanes<uint16_t>, selp_lanes<uint32_t>,
                              selp_lanes<uint64_t>);
        case Opcode::kSlct:
            return with_width(key.bits[0], find_slct<uint16_t>(key), find_slct<uint32_t>(key),
                              find_slct<uint64_t>(key));
        case Opcode::kTestp:
            return key.type[0] == Type::kF64 ? testp_lanes<uint64_t> : testp_lanes<uint32_t>;
        default:
            return nullptr;
    }
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
