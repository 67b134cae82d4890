// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/forms.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

// Modifiers: words separated by blanks, each optional; `a|b` at most one of them; `!` before:
// exactly one; `*` any words. Types: positions separated by blanks, alternatives by `|`; `-` none;
// `*` any. Operands: see OperandRole for the letters; then the position of the type, or `:type`;
// `w` after it for twice the width; `+p` a second destination, `+n` its empty place; `?` optional.
// Capitalised words are the abbreviations below.
struct Line {
    Opcode opcode;
    std::string_view modifiers, types, operands;
};

struct Abbreviation {
    std::string_view name, text;
};

constexpr Abbreviation kAbbreviations[] = {
    {"RND", "rn|rz|rm|rp"},
    {"IRND", "rni|rzi|rmi|rpi"},
    {"CMPI", "eq|ne|lt|le|gt|ge|lo|ls|hi|hs"},
    {"CMPF", "eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|num|nan"},
    {"BOOL", "and|or|xor"},
    {"SCOPE", "cta|cluster|gpu|sys"},
    {"SPACE",
     "const|global|local|param|param::entry|param::func|shared|shared::cta|shared::cluster"},
    {"WSPACE", "global|local|param|param::func|shared|shared::cta|shared::cluster"},
    {"ASPACE", "global|shared|shared::cta|shared::cluster"},
    {"WINDOW", "const|global|local|param|param::entry|shared|shared::cta|shared::cluster"},
    {"EVICT1",
     "L1::evict_normal|L1::evict_unchanged|L1::evict_first|L1::evict_last|L1::no_allocate"},
    {"EVICT2", "L2::evict_normal|L2::evict_first|L2::evict_last"},
    {"HINT", "L2::cache_hint|level::cache_hint"},
    {"AHEAD", "L2::64B|L2::128B|L2::256B"},
    {"I", "u16|u32|u64|s16|s32|s64"},
    {"I3264", "u32|s32|u64|s64"},
    {"I32", "u32|s32"},
    {"B3264", "b32|b64"},
    {"B163264", "b16|b32|b64"},
    {"MEMORY", "b8|b16|b32|b64|b128|u8|u16|u32|u64|s8|s16|s32|s64|f32|f64"},
    {"SCALAR", "b16|b32|b64|u16|u32|u64|s16|s32|s64|f32|f64"},
    {"HALF", "f16|f16x2"},
    {"BHALF", "bf16|bf16x2"},
    {"HALVES", "f16|f16x2|bf16|bf16x2"},
    {"NUMBER", "u8|u16|u32|u64|s8|s16|s32|s64|f16|bf16|f32|f64"},
    {"INTEGER", "u8|u16|u32|u64|s8|s16|s32|s64"},
    {"F8X2", "e4m3x2|e5m2x2"},
    {"F6X2", "e3m2x2|e2m3x2"},
    {"VOP", "add|min|max"},
};

using enum Opcode;

constexpr Line kLines[] = {
    // Integer and floating-point arithmetic.
    {kAdd, "", "I|u16x2|s16x2", "d0 s0 s0"},
    {kAdd, "sat", "s32", "d0 s0 s0"},
    {kAdd, "!cc", "I3264", "d0 s0 s0"},
    {kAdd, "RND ftz sat", "f32|f16|f16x2", "d0 s0 s0"},
    {kAdd, "RND", "f64|bf16|bf16x2", "d0 s0 s0"},
    {kAdd, "RND ftz", "f32x2", "d0 s0 s0"},
    {kAdd, "RND sat", "f32 f16|bf16", "d0 s1 s0"},
    {kSub, "", "I", "d0 s0 s0"},
    {kSub, "sat", "s32", "d0 s0 s0"},
    {kSub, "!cc", "I3264", "d0 s0 s0"},
    {kSub, "RND ftz sat", "f32|f16|f16x2", "d0 s0 s0"},
    {kSub, "RND", "f64|bf16|bf16x2", "d0 s0 s0"},
    {kSub, "RND ftz", "f32x2", "d0 s0 s0"},
    {kSub, "RND sat", "f32 f16|bf16", "d0 s1 s0"},
    {kAddc, "cc", "I3264", "d0 s0 s0"},
    {kSubc, "cc", "I3264", "d0 s0 s0"},
    {kMul, "!lo|hi", "I", "d0 s0 s0"},
    {kMul, "!wide", "u16|s16|u32|s32", "d0w s0 s0"},
    {kMul, "RND ftz sat", "f32|f16|f16x2", "d0 s0 s0"},
    {kMul, "RND", "f64|bf16|bf16x2", "d0 s0 s0"},
    {kMul, "RND ftz", "f32x2", "d0 s0 s0"},
    {kMad, "!lo|hi", "I", "d0 s0 s0 s0"},
    {kMad, "!lo|hi !cc", "I3264", "d0 s0 s0 s0"},
    {kMad, "!hi !sat", "s32", "d0 s0 s0 s0"},
    {kMad, "!wide", "u16|s16|u32|s32", "d0w s0 s0 s0w"},
    {kMad, "RND ftz sat", "f32", "d0 s0 s0 s0"},
    {kMad, "!RND", "f64", "d0 s0 s0 s0"},
    {kMadc, "!lo|hi cc", "I3264", "d0 s0 s0 s0"},
    {kMul24, "!lo|hi", "I32", "d0 s0 s0"},
    {kMad24, "!lo|hi", "I32", "d0 s0 s0 s0"},
    {kMad24, "!hi !sat", "s32", "d0 s0 s0 s0"},
    {kSad, "", "I", "d0 s0 s0 s0"},
    {kDiv, "", "I", "d0 s0 s0"},
    {kDiv, "!approx|full|RND ftz", "f32", "d0 s0 s0"},
    {kDiv, "!RND", "f64", "d0 s0 s0"},
    {kRem, "", "I", "d0 s0 s0"},
    {kAbs, "", "s16|s32|s64|f64|BHALF", "d0 s0"},
    {kAbs, "ftz", "f32|HALF", "d0 s0"},
    {kNeg, "", "s16|s32|s64|f64|BHALF", "d0 s0"},
    {kNeg, "ftz", "f32|HALF", "d0 s0"},
    {kMin, "", "I|u16x2|s16x2|f64", "d0 s0 s0"},
    {kMin, "!relu", "s32|s16x2", "d0 s0 s0"},
    {kMin, "ftz NaN", "f32", "d0 s0 s0 s0?"},
    {kMin, "ftz NaN !xorsign !abs", "f32|HALVES", "d0 s0 s0 s0?"},
    {kMin, "ftz NaN", "HALVES", "d0 s0 s0"},
    {kMax, "", "I|u16x2|s16x2|f64", "d0 s0 s0"},
    {kMax, "!relu", "s32|s16x2", "d0 s0 s0"},
    {kMax, "ftz NaN", "f32", "d0 s0 s0 s0?"},
    {kMax, "ftz NaN !xorsign !abs", "f32|HALVES", "d0 s0 s0 s0?"},
    {kMax, "ftz NaN", "HALVES", "d0 s0 s0"},
    {kFma, "!RND ftz sat", "f32", "d0 s0 s0 s0"},
    {kFma, "!RND", "f64", "d0 s0 s0 s0"},
    {kFma, "!RND ftz", "f32x2", "d0 s0 s0 s0"},
    {kFma, "!rn ftz sat|relu", "HALF", "d0 s0 s0 s0"},
    {kFma, "!rn relu", "BHALF", "d0 s0 s0 s0"},
    {kFma, "!rn !oob relu", "HALVES", "d0 s0 s0 s0"},
    {kFma, "!RND sat", "f32 f16|bf16", "d0 s1 s1 s0"},
    {kRcp, "!approx|RND ftz", "f32", "d0 s0"},
    {kRcp, "!RND", "f64", "d0 s0"},
    {kRcp, "!approx !ftz", "f64", "d0 s0"},
    {kSqrt, "!approx|RND ftz", "f32", "d0 s0"},
    {kSqrt, "!RND", "f64", "d0 s0"},
    {kRsqrt, "!approx ftz", "f32|f64", "d0 s0"},
    {kSin, "!approx ftz", "f32", "d0 s0"},
    {kCos, "!approx ftz", "f32", "d0 s0"},
    {kLg2, "!approx ftz", "f32", "d0 s0"},
    {kEx2, "!approx ftz", "f32|HALVES", "d0 s0"},
    {kTanh, "!approx", "f32|HALVES", "d0 s0"},
    {kTestp, "!finite|infinite|number|notanumber|normal|subnormal", "f32|f64", "p s0"},
    {kCopysign, "", "f32|f64", "d0 s0 s0"},
    // Bits.
    {kPopc, "", "B3264", "d:u32 s0"},
    {kClz, "", "B3264", "d:u32 s0"},
    {kBfind, "shiftamt", "I3264", "d:u32 s0"},
    {kFns, "", "b32", "d0 s:b32 s:b32 s:s32"},
    {kBrev, "", "B3264", "d0 s0"},
    {kBfe, "", "I3264", "d0 s0 s:u32 s:u32"},
    {kBfi, "", "B3264", "d0 s0 s0 s:u32 s:u32"},
    {kBmsk, "!clamp|wrap", "b32", "d0 s0 s:b32"},
    {kSzext, "!clamp|wrap", "I32", "d0 s0 s:u32"},
    {kDp4a, "", "I32 I32", "d:b32 s:b32 s:b32 s:b32"},
    {kDp2a, "!lo|hi", "I32 I32", "d:b32 s:b32 s:b32 s:b32"},
    {kAnd, "", "B163264", "d0 s0 s0"},
    {kAnd, "", "pred", "p q q"},
    {kOr, "", "B163264", "d0 s0 s0"},
    {kOr, "", "pred", "p q q"},
    {kXor, "", "B163264", "d0 s0 s0"},
    {kXor, "", "pred", "p q q"},
    {kNot, "", "B163264", "d0 s0"},
    {kNot, "", "pred", "p q"},
    {kCnot, "", "B163264", "d0 s0"},
    {kLop3, "", "b32", "d0 s0 s0 s0 i:u32"},
    {kLop3, "!and|or", "b32", "e0+p s0 s0 s0 i:u32 q"},
    {kShf, "!l|r !clamp|wrap", "b32", "d0 s0 s0 s:u32"},
    {kShl, "", "B163264", "d0 s0 s:u32"},
    {kShr, "", "B163264|I", "d0 s0 s:u32"},
    {kPrmt, "f4e|b4e|rc8|ecl|ecr|rc16", "b32", "d0 s0 s0 s0"},
    // Comparison and selection.
    {kSetp, "!CMPI", "B163264|I", "p+p s0 s0"},
    {kSetp, "!CMPI !BOOL", "B163264|I", "p+p s0 s0 q"},
    {kSetp, "!CMPF ftz", "f32|f16x2|bf16x2|f64", "p+p s0 s0"},
    {kSetp, "!CMPF ftz", "f16|bf16", "p+n s0 s0"},
    {kSetp, "!CMPF !BOOL ftz", "f32|f16x2|bf16x2|f64", "p+p s0 s0 q"},
    {kSetp, "!CMPF !BOOL ftz", "f16|bf16", "p+n s0 s0 q"},
    {kSet, "!CMPI", "u32|s32|f32 B163264|I", "d0 s1 s1"},
    {kSet, "!CMPI !BOOL", "u32|s32|f32 B163264|I", "d0 s1 s1 q"},
    {kSet, "!CMPF ftz", "u16|s16|u32|s32|f32|HALVES f32|f64|HALVES", "d0 s1 s1"},
    {kSet, "!CMPF !BOOL ftz", "u16|s16|u32|s32|f32|HALVES f32|f64|HALVES", "d0 s1 s1 q"},
    {kSet, "!CMPI", "HALVES B163264|I", "d0 s1 s1"},
    {kSet, "!CMPI !BOOL", "HALVES B163264|I", "d0 s1 s1 q"},
    {kSelp, "", "SCALAR", "d0 s0 s0 q"},
    {kSlct, "", "SCALAR s32", "d0 s0 s0 s1"},
    {kSlct, "ftz", "SCALAR f32", "d0 s0 s0 s1"},
    // Moves and conversions.
    {kMov, "", "SCALAR|b128", "k0 K0"},
    {kMov, "", "pred", "p q"},
    {kMov, "!v2|v4", "SCALAR", "L0 T0"},
    {kCvt, "RND|IRND|rna ftz sat", "NUMBER NUMBER", "D0 m1"},
    {kCvt, "rn|rz relu satfinite", "f16|bf16 f32", "D0 m1"},
    {kCvt, "rn|rz relu satfinite", "HALF|BHALF|F8X2|F6X2|e2m1x2 f32", "D0 s1 s1"},
    {kCvt, "!rs relu satfinite", "HALF|BHALF f32", "D0 s1 s1 s:b32"},
    {kCvt, "!rs relu !satfinite", "e4m3x4|e5m2x4|e3m2x4|e2m3x4|e2m1x4 f32", "D0 x s:b32"},
    {kCvt, "rn|rz relu satfinite", "F8X2|F6X2|e2m1x2 f16x2|bf16x2", "D0 S1"},
    {kCvt, "!rn relu", "f16x2|bf16x2 F8X2|F6X2|e2m1x2", "D0 S1"},
    {kCvt, "!rn|rz|rna relu satfinite", "tf32 f32", "D0 s1"},
    {kCvt, "rz|rp satfinite", "ue8m0x2 f32", "D0 s1 s1"},
    {kCvt, "rz|rp satfinite", "ue8m0x2 bf16x2", "D0 s1"},
    {kCvt, "rn", "bf16x2 ue8m0x2", "D0 S1"},
    {kCvt, "*", "s2f6x2 f32|bf16x2", "*"},
    {kCvt, "*", "bf16x2 s2f6x2", "*"},
    {kCvt, "!pack sat", "u16|s16 s32", "d:b32 s1 s1"},
    {kCvt, "!pack sat", "u8|s8|u4|s4|u2|s2 s32 b32", "d:b32 s1 s1 s:b32"},
    {kCvta, "!WINDOW", "u32|u64", "d0 y0"},
    {kCvta, "!to !WINDOW", "u32|u64", "d0 y0"},
    {kIsspacep, "!WINDOW", "-", "p y:b64"},
    {kIstypep, "", "texref|samplerref|surfref", "p y:b64"},
    // Memory.
    {kLd,
     "weak|relaxed|acquire SCOPE SPACE ca|cg|cs|lu|cv EVICT1 EVICT2 HINT AHEAD v2|v4|v8 unified",
     "MEMORY", "L0 a s:b64?"},
    {kLd, "!volatile SPACE AHEAD v2|v4|v8", "MEMORY", "L0 a"},
    {kLd, "!mmio !relaxed !sys global", "MEMORY", "L0 a"},
    {kLd, "weak global !nc ca|cg|cs EVICT1 EVICT2 HINT AHEAD v2|v4|v8", "MEMORY", "L0 a s:b64?"},
    {kLdu, "global v2|v4", "MEMORY", "L0 a"},
    {kSt, "weak|relaxed|release SCOPE WSPACE wb|cg|cs|wt EVICT1 EVICT2 HINT v2|v4|v8", "MEMORY",
     "a T0 s:b64?"},
    {kSt, "!volatile WSPACE v2|v4|v8", "MEMORY", "a T0"},
    {kSt, "!mmio !relaxed !sys global", "MEMORY", "a T0"},
    {kSt, "!async weak shared::cluster !mbarrier::complete_tx::bytes v2|v4",
     "b32|b64|u32|u64|s32|s64|f32|f64", "a T0 a"},
    {kSt, "!bulk *", "*", "*"},
    {kPrefetch, "global|local|const|param L1|L2 tensormap", "-", "a"},
    {kPrefetch, "global L2::evict_last|L2::evict_normal|level::evict_last|level::evict_normal", "-",
     "a"},
    {kPrefetchu, "!L1", "-", "a"},
    {kDiscard, "global !L2", "-", "a i:u32"},
    {kApplypriority, "global !L2::evict_normal", "-", "a i:u32"},
    {kCreatepolicy,
     "!fractional !L2::evict_last|L2::evict_normal|L2::evict_first|L2::evict_unchanged "
     "L2::evict_first|L2::evict_unchanged",
     "b64", "d0 s:f32?"},
    {kCreatepolicy,
     "!range global !L2::evict_last|L2::evict_normal|L2::evict_first|L2::evict_unchanged "
     "L2::evict_first|L2::evict_unchanged",
     "b64", "d0 a s:u32 s:u32"},
    {kMapa, "SPACE", "u32|u64", "d0 y0 s:u32"},
    {kGetctarank, "SPACE", "u32|u64", "d:u32 y0"},
    {kAlloca, "", "u32|u64", "d0 s0 i:u32?"},
    {kStacksave, "", "u32|u64", "d0"},
    {kStackrestore, "", "u32|u64", "s0"},
    // Atomics. `*` in front of the operands of .v2 … only: the executor sees vectors.
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !and|or|xor HINT", "B3264",
     "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !exch HINT", "B3264|b128",
     "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !cas HINT", "B163264|b128",
     "e0 a s0 s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !add HINT", "u32|s32|u64|f32|f64",
     "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !add !noftz HINT", "HALVES",
     "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !inc|dec HINT", "u32", "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE ASPACE !min|max HINT", "I3264",
     "e0 a s0 s:b64?"},
    {kAtom, "relaxed|acquire|release|acq_rel SCOPE global !add|min|max noftz HINT !v2|v4|v8",
     "f32|HALVES", "x a x s:b64?"},
    {kRed, "relaxed|release SCOPE ASPACE !and|or|xor HINT", "B3264", "a s0 s:b64?"},
    {kRed, "relaxed|release SCOPE ASPACE !add HINT", "u32|s32|u64|f32|f64", "a s0 s:b64?"},
    {kRed, "relaxed|release SCOPE ASPACE !add !noftz HINT", "HALVES", "a s0 s:b64?"},
    {kRed, "relaxed|release SCOPE ASPACE !inc|dec HINT", "u32", "a s0 s:b64?"},
    {kRed, "relaxed|release SCOPE ASPACE !min|max HINT", "I3264", "a s0 s:b64?"},
    {kRed, "relaxed|release SCOPE global !add|min|max noftz HINT !v2|v4|v8", "f32|HALVES",
     "a x s:b64?"},
    {kRed, "!async relaxed cluster shared::cluster !mbarrier::complete_tx::bytes !inc|dec", "u32",
     "a s0 a"},
    {kRed, "!async relaxed cluster shared::cluster !mbarrier::complete_tx::bytes !min|max", "I32",
     "a s0 a"},
    {kRed, "!async relaxed cluster shared::cluster !mbarrier::complete_tx::bytes !and|or|xor",
     "b32", "a s0 a"},
    {kRed, "!async relaxed cluster shared::cluster !mbarrier::complete_tx::bytes !add",
     "u32|s32|u64", "a s0 a"},
    {kMultimem, "*", "*", "*"},
    // Asynchronous copies.
    {kCp, "!async !ca|cg !shared|shared::cta !global HINT AHEAD", "-", "a a i:u32 o? s:b64?"},
    {kCp, "!async !commit_group", "-", ""},
    {kCp, "!async !wait_group", "-", "i:u32"},
    {kCp, "!async !wait_all", "-", ""},
    {kCp, "!async !mbarrier !arrive noinc shared|shared::cta", "b64", "a"},
    {kCp, "!async !ca|cg !shared|shared::cta !global !HINT AHEAD", "-", "a a i:u32 s:b64"},
    {kCp, "!async !bulk !commit_group", "-", ""},
    {kCp, "!async !bulk !wait_group read", "-", "i:u32"},
    {kCp, "!async !bulk !shared::cluster|shared::cta !global !mbarrier::complete_tx::bytes HINT",
     "-", "a a s:u32 a s:b64?"},
    {kCp, "!async !bulk !shared::cluster !shared::cta !mbarrier::complete_tx::bytes", "-",
     "a a s:u32 a"},
    {kCp, "!async !bulk !global !shared::cta !bulk_group HINT", "-", "a a s:u32 s:b64?"},
    {kCp, "!async !bulk !prefetch !L2 !global HINT", "-", "a s:u32 s:b64?"},
    {kCp, "!async !bulk *", "*", "*"},
    {kCp, "!reduce !async !bulk *", "*", "*"},
    {kMbarrier, "!init shared|shared::cta", "b64", "a s:u32"},
    {kMbarrier, "!inval shared|shared::cta", "b64", "a"},
    {kMbarrier, "!expect_tx|complete_tx relaxed cta|cluster shared|shared::cta|shared::cluster",
     "b64", "a s:u32"},
    {kMbarrier,
     "!arrive|arrive_drop expect_tx|noComplete release|relaxed cta|cluster "
     "shared|shared::cta|shared::cluster",
     "b64", "e0 a s:u32?"},
    {kMbarrier, "!test_wait|try_wait acquire|relaxed cta|cluster shared|shared::cta", "b64",
     "p a s0 s:u32?"},
    {kMbarrier, "!test_wait|try_wait !parity acquire|relaxed cta|cluster shared|shared::cta", "b64",
     "p a s:u32 s:u32?"},
    {kMbarrier, "!pending_count", "b64", "d:u32 s0"},
    {kTensormap, "*", "*", "*"},
    {kClusterlaunchcontrol, "*", "*", "*"},
    // Control.
    {kBra, "uni", "-", "l"},
    {kBrx, "!idx uni", "-", "s:u32 g"},
    {kRet, "uni", "-", ""},
    {kExit, "", "-", ""},
    {kTrap, "", "-", ""},
    {kBrkpt, "", "-", ""},
    {kNanosleep, "", "u32", "s0"},
    {kPmevent, "mask", "-", "i:u32"},
    {kGriddepcontrol, "!launch_dependents|wait", "-", ""},
    {kSetmaxnreg, "!inc|dec !sync !aligned", "u32", "i:u32"},
    // Between threads.
    {kBar, "cta !sync", "-", "s:u32 s:u32?"},
    {kBar, "cta !arrive", "-", "s:u32 s:u32"},
    {kBar, "cta !red !popc", "u32", "d0 s:u32 q"},
    {kBar, "cta !red !popc", "u32", "d0 s:u32 s:u32 q"},
    {kBar, "cta !red !and|or", "pred", "p s:u32 q"},
    {kBar, "cta !red !and|or", "pred", "p s:u32 s:u32 q"},
    {kBar, "!warp !sync", "-", "s:b32"},
    {kBarrier, "cta !sync aligned", "-", "s:u32 s:u32?"},
    {kBarrier, "cta !arrive aligned", "-", "s:u32 s:u32"},
    {kBarrier, "cta !red !popc aligned", "u32", "d0 s:u32 q"},
    {kBarrier, "cta !red !popc aligned", "u32", "d0 s:u32 s:u32 q"},
    {kBarrier, "cta !red !and|or aligned", "pred", "p s:u32 q"},
    {kBarrier, "cta !red !and|or aligned", "pred", "p s:u32 s:u32 q"},
    {kBarrier, "!cluster !arrive release|relaxed aligned", "-", ""},
    {kBarrier, "!cluster !wait acquire aligned", "-", ""},
    {kMembar, "!cta|gl|sys", "-", ""},
    {kMembar, "*", "-", "*"},
    {kFence, "sc|acq_rel|acquire|release !SCOPE", "-", ""},
    {kFence, "*", "-", "*"},
    {kShfl, "!sync !up|down|bfly|idx", "b32", "d0+p s0 s:b32 s:b32 s:b32"},
    {kShfl, "!up|down|bfly|idx", "b32", "d0+p s0 s:b32 s:b32"},
    {kVote, "!sync !all|any|uni", "pred", "p q s:b32"},
    {kVote, "!sync !ballot", "b32", "d0 q s:b32"},
    {kVote, "!all|any|uni", "pred", "p q"},
    {kVote, "!ballot", "b32", "d0 q"},
    {kMatch, "!any !sync", "B3264", "d:b32+n s0 s:b32"},
    {kMatch, "!all !sync", "B3264", "d:b32+p s0 s:b32"},
    {kActivemask, "", "b32", "d0"},
    {kRedux, "!sync !add|min|max", "I32", "d0 s0 s:b32"},
    {kRedux, "!sync !and|or|xor", "b32", "d0 s0 s:b32"},
    {kRedux, "!sync !min|max abs NaN", "f32", "d0 s0 s:b32"},
    {kElect, "!sync", "-", "e:b32+p s:b32"},
    // Matrices.
    {kLdmatrix, "!sync !aligned !m#n#k# !x1|x2|x4 trans shared|shared::cta", "b16|b8", "xN a"},
    {kLdmatrix,
     "!sync !aligned !m#n#k# !x1|x2|x4 trans shared|shared::cta !b8x16 "
     "!b6x16_p32|b4x16_p64",
     "-", "xN a"},
    {kStmatrix, "!sync !aligned !m#n#k# !x1|x2|x4 trans shared|shared::cta", "b16|b8", "a xN"},
    {kMovmatrix, "!sync !aligned !m#n#k# !trans", "b16", "d:b32 s:b32"},
    {kMma, "!sync !aligned !m#n#k# !row !col satfinite",
     "f16|f32|s32|f64 f16|bf16|tf32|f64|e4m3|e5m2|u8|s8|u4|s4 "
     "f16|bf16|tf32|f64|e4m3|e5m2|u8|s8|u4|s4 f16|f32|s32|f64",
     "xD xA xB xC"},
    {kMma, "!sync !aligned !m#n#k# !row !col !xor|and !popc", "s32 b1 b1 s32", "xD xA xB xC"},
    {kMma, "!sync !aligned !m#n#k# !row|col !row|col", "f16|f32 f16 f16 f16|f32", "xV xV xV xV"},
    {kMma, "!sp|sp::ordered_metadata *", "*", "*"},
    {kMma, "!kind::f8f6f4|kind::mxf8f6f4|kind::mxf4|kind::mxf4nvf4 *", "*", "*"},
    {kWmma, "!load !a|b|c !sync !aligned !m#n#k# !row|col shared|shared::cta|global",
     "f16|bf16|tf32|f64|u8|s8|u4|s4|b1|f32|s32", "x a s:u32?"},
    {kWmma, "!store !d !sync !aligned !m#n#k# !row|col shared|shared::cta|global",
     "f16|f32|f64|s32", "a x s:u32?"},
    {kWmma, "*", "*", "x x x x"},
    {kWgmma, "*", "*", "*"},
    {kTcgen05, "*", "*", "*"},
    // Textures and surfaces.
    {kTex, "*", "*", "*"},
    {kTld4, "*", "*", "*"},
    {kTxq, "*", "*", "*"},
    {kSuld, "*", "*", "*"},
    {kSust, "*", "*", "*"},
    {kSured, "*", "*", "*"},
    {kSuq, "*", "*", "*"},
    // Video.
    {kVadd, "sat VOP", "I32 I32 I32", "d0 s1 s2 s:u32?"},
    {kVsub, "sat VOP", "I32 I32 I32", "d0 s1 s2 s:u32?"},
    {kVabsdiff, "sat VOP", "I32 I32 I32", "d0 s1 s2 s:u32?"},
    {kVmin, "sat VOP", "I32 I32 I32", "d0 s1 s2 s:u32?"},
    {kVmax, "sat VOP", "I32 I32 I32", "d0 s1 s2 s:u32?"},
    {kVshl, "sat !clamp|wrap VOP", "I32 I32 u32", "d0 s1 s2 s:u32?"},
    {kVshr, "sat !clamp|wrap VOP", "I32 I32 u32", "d0 s1 s2 s:u32?"},
    {kVmad, "sat shr7|shr15 po", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVset, "!eq|ne|lt|le|gt|ge VOP", "I32 I32", "d:u32 s0 s1 s:u32?"},
    {kVadd2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVsub2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVavrg2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVabsdiff2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVmin2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVmax2, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVset2, "!eq|ne|lt|le|gt|ge add", "I32 I32", "d:u32 s0 s1 s:u32"},
    {kVadd4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVsub4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVavrg4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVabsdiff4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVmin4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVmax4, "sat|add", "I32 I32 I32", "d0 s1 s2 s:u32"},
    {kVset4, "!eq|ne|lt|le|gt|ge add", "I32 I32", "d:u32 s0 s1 s:u32"},
};

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        if (end > 0) parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

// Calls `visit` with each alternative of `a|b|C`, abbreviations resolved.
template <typename Visit>
void each_alternative(std::string_view text, const Visit& visit) {
    for (std::string_view word : split(text, '|')) {
        const Abbreviation* found = nullptr;
        for (const Abbreviation& abbreviation : kAbbreviations) {
            if (abbreviation.name == word) found = &abbreviation;
        }
        if (!found) {
            visit(word);
        } else {
            each_alternative(found->text, visit);
        }
    }
}

[[noreturn]] void bad_table(std::string_view word) {
    throw std::logic_error("PTX form table: " + std::string(word));
}

OperandRole role_of(char letter) {
    switch (letter) {
        case 'd':
            return OperandRole::kDestination;
        case 'D':
            return OperandRole::kWideDestination;
        case 'e':
            return OperandRole::kOptionalResult;
        case 's':
            return OperandRole::kSource;
        case 'S':
            return OperandRole::kWideSource;
        case 'm':
            return OperandRole::kAnySource;
        case 'k':
            return OperandRole::kPacked;
        case 'K':
            return OperandRole::kPackedSource;
        case 'L':
            return OperandRole::kVectorTo;
        case 'T':
            return OperandRole::kVectorFrom;
        case 'i':
            return OperandRole::kImmediate;
        case 'p':
            return OperandRole::kPredicateOut;
        case 'q':
            return OperandRole::kPredicateIn;
        case 'a':
            return OperandRole::kAddress;
        case 'l':
            return OperandRole::kLabel;
        case 'g':
            return OperandRole::kTargets;
        case 'x':
            return OperandRole::kFragment;
        case 'o':
            return OperandRole::kRegisterOrPredicate;
        case 'y':
            return OperandRole::kSymbol;
        case '*':
            return OperandRole::kAnything;
        default:
            bad_table(std::string_view(&letter, 1));
    }
}

OperandRule make_rule(std::string_view text) {
    OperandRule rule;
    rule.role = role_of(text[0]);
    if (rule.role == OperandRole::kPredicateOut || rule.role == OperandRole::kPredicateIn) {
        rule.type = Type::kPred;
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '?') {
            rule.optional = true;
        } else if (c == '+') {
            rule.pair = text[++i];
        } else if (c == ':') {
            const std::size_t end = std::min(text.find_first_of("+?", i), text.size());
            const auto type = find_type(text.substr(i + 1, end - i - 1));
            if (!type) bad_table(text);
            rule.type = *type;
            i = end - 1;
        } else if (rule.role == OperandRole::kFragment) {
            rule.fragment = c;
        } else if (c == 'w') {
            rule.doubled = true;
        } else if (c >= '0' && c <= '9') {
            rule.type_position = static_cast<std::int8_t>(c - '0');
        } else {
            bad_table(text);
        }
    }
    return rule;
}

Form make_form(const Line& line) {
    Form form;
    for (std::string_view group : split(line.modifiers, ' ')) {
        if (group == "*") {
            form.any_modifiers = true;
            continue;
        }
        ModifierGroup parsed;
        if (group[0] == '!') {
            parsed.required = true;
            group.remove_prefix(1);
        }
        each_alternative(group, [&](std::string_view word) {
            const auto modifier = find_modifier(word);
            if (!modifier) bad_table(word);
            parsed.words.push_back(*modifier);
        });
        form.modifiers.push_back(std::move(parsed));
    }
    if (line.types == "*") {
        form.any_types = true;
    } else if (line.types != "-") {
        for (std::string_view position : split(line.types, ' ')) {
            std::vector<Type>& types = form.types.emplace_back();
            each_alternative(position, [&](std::string_view word) {
                const auto type = find_type(word);
                if (!type) bad_table(word);
                types.push_back(*type);
            });
        }
    }
    for (std::string_view operand : split(line.operands, ' ')) {
        form.operands.push_back(make_rule(operand));
    }
    return form;
}

using Table = std::array<std::vector<Form>, static_cast<std::size_t>(Opcode::kCount)>;

Table make_table() {
    Table table;
    for (const Line& line : kLines) {
        table[static_cast<std::size_t>(line.opcode)].push_back(make_form(line));
    }
    return table;
}

}  // namespace

std::span<const Form> forms_of(Opcode opcode) {
    static const Table table = make_table();
    return table[static_cast<std::size_t>(opcode)];
}

}  // namespace cubar::softgpu::ptx
