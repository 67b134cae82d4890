// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::softgpu::ptx {

// The first word of every instruction of PTX ISA 9.1. What follows it (`cp.async`, `bar.sync`,
// `mbarrier.init`) is a Modifier: one word of the text, one enumerator.
// clang-format off
#define CUBAR_PTX_OPCODES(X)                                                                     \
    X(kAbs, "abs") X(kActivemask, "activemask") X(kAdd, "add") X(kAddc, "addc")                  \
    X(kAlloca, "alloca") X(kAnd, "and") X(kApplypriority, "applypriority") X(kAtom, "atom")      \
    X(kBar, "bar") X(kBarrier, "barrier") X(kBfe, "bfe") X(kBfi, "bfi") X(kBfind, "bfind")       \
    X(kBmsk, "bmsk") X(kBra, "bra") X(kBrev, "brev") X(kBrkpt, "brkpt") X(kBrx, "brx")           \
    X(kCall, "call") X(kClusterlaunchcontrol, "clusterlaunchcontrol") X(kClz, "clz")             \
    X(kCnot, "cnot") X(kCopysign, "copysign") X(kCos, "cos") X(kCp, "cp")                        \
    X(kCreatepolicy, "createpolicy") X(kCvt, "cvt") X(kCvta, "cvta") X(kDiscard, "discard")      \
    X(kDiv, "div") X(kDp2a, "dp2a") X(kDp4a, "dp4a") X(kElect, "elect") X(kEx2, "ex2")           \
    X(kExit, "exit") X(kFence, "fence") X(kFma, "fma") X(kFns, "fns")                            \
    X(kGetctarank, "getctarank") X(kGriddepcontrol, "griddepcontrol") X(kIsspacep, "isspacep")   \
    X(kIstypep, "istypep") X(kLd, "ld") X(kLdmatrix, "ldmatrix") X(kLdu, "ldu") X(kLg2, "lg2")   \
    X(kLop3, "lop3") X(kMad, "mad") X(kMad24, "mad24") X(kMadc, "madc") X(kMapa, "mapa")         \
    X(kMatch, "match") X(kMax, "max") X(kMbarrier, "mbarrier") X(kMembar, "membar")              \
    X(kMin, "min") X(kMma, "mma") X(kMov, "mov") X(kMovmatrix, "movmatrix") X(kMul, "mul")       \
    X(kMul24, "mul24") X(kMultimem, "multimem") X(kNanosleep, "nanosleep") X(kNeg, "neg")        \
    X(kNot, "not") X(kOr, "or") X(kPmevent, "pmevent") X(kPopc, "popc") X(kPrefetch, "prefetch") \
    X(kPrefetchu, "prefetchu") X(kPrmt, "prmt") X(kRcp, "rcp") X(kRed, "red")                    \
    X(kRedux, "redux") X(kRem, "rem") X(kRet, "ret") X(kRsqrt, "rsqrt") X(kSad, "sad")           \
    X(kSelp, "selp") X(kSet, "set") X(kSetmaxnreg, "setmaxnreg") X(kSetp, "setp") X(kShf, "shf") \
    X(kShfl, "shfl") X(kShl, "shl") X(kShr, "shr") X(kSin, "sin") X(kSlct, "slct")               \
    X(kSqrt, "sqrt") X(kSt, "st") X(kStackrestore, "stackrestore") X(kStacksave, "stacksave")    \
    X(kStmatrix, "stmatrix") X(kSub, "sub") X(kSubc, "subc") X(kSuld, "suld") X(kSuq, "suq")     \
    X(kSured, "sured") X(kSust, "sust") X(kSzext, "szext") X(kTanh, "tanh")                      \
    X(kTcgen05, "tcgen05") X(kTensormap, "tensormap") X(kTestp, "testp") X(kTex, "tex")          \
    X(kTld4, "tld4") X(kTrap, "trap") X(kTxq, "txq") X(kVabsdiff, "vabsdiff")                    \
    X(kVabsdiff2, "vabsdiff2") X(kVabsdiff4, "vabsdiff4") X(kVadd, "vadd") X(kVadd2, "vadd2")    \
    X(kVadd4, "vadd4") X(kVavrg2, "vavrg2") X(kVavrg4, "vavrg4") X(kVmad, "vmad")                \
    X(kVmax, "vmax") X(kVmax2, "vmax2") X(kVmax4, "vmax4") X(kVmin, "vmin") X(kVmin2, "vmin2")   \
    X(kVmin4, "vmin4") X(kVote, "vote") X(kVset, "vset") X(kVset2, "vset2") X(kVset4, "vset4")   \
    X(kVshl, "vshl") X(kVshr, "vshr") X(kVsub, "vsub") X(kVsub2, "vsub2") X(kVsub4, "vsub4")     \
    X(kWgmma, "wgmma") X(kWmma, "wmma") X(kXor, "xor")
// clang-format on

enum class Opcode : std::uint8_t {
#define CUBAR_PTX_ENUMERATOR(name, text) name,
    CUBAR_PTX_OPCODES(CUBAR_PTX_ENUMERATOR)
#undef CUBAR_PTX_ENUMERATOR
        kCount
};

// The spelling in PTX text, for example "cvt".
std::string_view to_string(Opcode opcode);

}  // namespace cubar::softgpu::ptx
