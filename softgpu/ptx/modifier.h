// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::softgpu::ptx {

// Every word that may follow an opcode and is not a type: one spelling, one enumerator, whatever it
// means there (`.lo` is a half in mul.lo and a comparison in setp.lo; `.min` of atom.min, …).
// kShape stands for m16n8k16, m8n8 and the like (numbers in Instruction::shape), kCollectorB for
// collector::b0::fill and its sisters.
// clang-format off
#define CUBAR_PTX_MODIFIERS(X)                                                                    \
    X(kRn, "rn") X(kRz, "rz") X(kRm, "rm") X(kRp, "rp") X(kRna, "rna") X(kRs, "rs")               \
    X(kRni, "rni") X(kRzi, "rzi") X(kRmi, "rmi") X(kRpi, "rpi")                                   \
    X(kFtz, "ftz") X(kSat, "sat") X(kSatfinite, "satfinite") X(kRelu, "relu")                     \
    X(kApprox, "approx") X(kFull, "full") X(kCc, "cc") X(kNan, "NaN") X(kXorsign, "xorsign")      \
    X(kAbs, "abs") X(kOob, "oob")                                                                 \
    X(kLo, "lo") X(kHi, "hi") X(kWide, "wide")                                                    \
    X(kEq, "eq") X(kNe, "ne") X(kLt, "lt") X(kLe, "le") X(kGt, "gt") X(kGe, "ge") X(kLs, "ls")    \
    X(kHs, "hs") X(kEqu, "equ") X(kNeu, "neu") X(kLtu, "ltu") X(kLeu, "leu") X(kGtu, "gtu")       \
    X(kGeu, "geu") X(kNum, "num") X(kNanCompare, "nan")                                           \
    X(kAnd, "and") X(kOr, "or") X(kXor, "xor") X(kAdd, "add") X(kInc, "inc") X(kDec, "dec")       \
    X(kMin, "min") X(kMax, "max") X(kExch, "exch") X(kCas, "cas") X(kPopc, "popc")                \
    X(kReg, "reg") X(kSreg, "sreg") X(kConst, "const") X(kGlobal, "global") X(kLocal, "local")    \
    X(kParam, "param") X(kParamEntry, "param::entry") X(kParamFunc, "param::func")                \
    X(kShared, "shared") X(kSharedCta, "shared::cta") X(kSharedCluster, "shared::cluster")        \
    X(kTex, "tex")                                                                                \
    X(kCta, "cta") X(kCluster, "cluster") X(kGpu, "gpu") X(kSys, "sys") X(kGl, "gl")              \
    X(kWeak, "weak") X(kVolatile, "volatile") X(kRelaxed, "relaxed") X(kAcquire, "acquire")       \
    X(kRelease, "release") X(kAcqRel, "acq_rel") X(kSc, "sc") X(kMmio, "mmio")                    \
    X(kCa, "ca") X(kCg, "cg") X(kCs, "cs") X(kLu, "lu") X(kCv, "cv") X(kWb, "wb") X(kWt, "wt")    \
    X(kNc, "nc") X(kUnified, "unified")                                                           \
    X(kL1EvictNormal, "L1::evict_normal") X(kL1EvictUnchanged, "L1::evict_unchanged")             \
    X(kL1EvictFirst, "L1::evict_first") X(kL1EvictLast, "L1::evict_last")                         \
    X(kL1NoAllocate, "L1::no_allocate")                                                           \
    X(kL2EvictNormal, "L2::evict_normal") X(kL2EvictUnchanged, "L2::evict_unchanged")             \
    X(kL2EvictFirst, "L2::evict_first") X(kL2EvictLast, "L2::evict_last")                         \
    X(kL2CacheHint, "L2::cache_hint")                                                             \
    X(kL2Prefetch64, "L2::64B") X(kL2Prefetch128, "L2::128B") X(kL2Prefetch256, "L2::256B")       \
    X(kLevelCacheHint, "level::cache_hint") X(kLevelEvictLast, "level::evict_last")               \
    X(kLevelEvictNormal, "level::evict_normal")                                                   \
    X(kL1, "L1") X(kL2, "L2") X(kTensormap, "tensormap") X(kFractional, "fractional")             \
    X(kRange, "range") X(kNoftz, "noftz") X(kMask, "mask") X(kAlias, "alias")                     \
    X(kAsyncGeneric, "async::generic")                                                            \
    X(kV2, "v2") X(kV4, "v4") X(kV8, "v8")                                                        \
    X(kUni, "uni") X(kSync, "sync") X(kArrive, "arrive") X(kWait, "wait") X(kRed, "red")          \
    X(kWarp, "warp") X(kAligned, "aligned") X(kAll, "all") X(kAny, "any") X(kBallot, "ballot")    \
    X(kUp, "up") X(kDown, "down") X(kBfly, "bfly") X(kIdx, "idx")                                 \
    X(kF4e, "f4e") X(kB4e, "b4e") X(kRc8, "rc8") X(kEcl, "ecl") X(kEcr, "ecr") X(kRc16, "rc16")   \
    X(kL, "l") X(kR, "r") X(kClamp, "clamp") X(kWrap, "wrap") X(kShiftamt, "shiftamt")            \
    X(kMode, "mode")                                                                              \
    X(kFinite, "finite") X(kInfinite, "infinite") X(kNumber, "number")                            \
    X(kNotanumber, "notanumber") X(kNormal, "normal") X(kSubnormal, "subnormal")                  \
    X(kTo, "to")                                                                                  \
    X(kShr7, "shr7") X(kShr15, "shr15") X(kPo, "po")                                              \
    X(kShape, "m#n#k#") X(kRow, "row") X(kCol, "col") X(kA, "a") X(kB, "b") X(kC, "c")            \
    X(kD, "d") X(kLoad, "load") X(kStore, "store") X(kMma, "mma") X(kTrans, "trans")              \
    X(kX1, "x1") X(kX2, "x2") X(kX4, "x4") X(kX8, "x8") X(kX16, "x16") X(kX32, "x32")             \
    X(kX64, "x64") X(kX128, "x128") X(kX1p, "x1p")                                                \
    X(kSp, "sp") X(kSpOrdered, "sp::ordered_metadata") X(kKindF8f6f4, "kind::f8f6f4")             \
    X(kKindMxf8f6f4, "kind::mxf8f6f4") X(kKindMxf4, "kind::mxf4")                                 \
    X(kKindMxf4nvf4, "kind::mxf4nvf4") X(kKindF16, "kind::f16") X(kKindTf32, "kind::tf32")        \
    X(kKindI8, "kind::i8") X(kBlockScale, "block_scale") X(kScaleVec1X, "scale_vec::1X")          \
    X(kScaleVec2X, "scale_vec::2X") X(kScaleVec4X, "scale_vec::4X") X(kBlock16, "block16")        \
    X(kBlock32, "block32")                                                                        \
    X(kB8x16, "b8x16") X(kB6x16P32, "b6x16_p32") X(kB4x16P64, "b4x16_p64")                        \
    X(kAsync, "async") X(kBulk, "bulk") X(kPrefetch, "prefetch") X(kReduce, "reduce")             \
    X(kCommitGroup, "commit_group") X(kWaitGroup, "wait_group") X(kWaitAll, "wait_all")           \
    X(kBulkGroup, "bulk_group") X(kRead, "read") X(kMbarrier, "mbarrier")                         \
    X(kCompleteTx, "mbarrier::complete_tx::bytes") X(kCompleteTx1d, "complete_tx::bytes")         \
    X(kMulticast, "multicast") X(kMulticastCluster, "multicast::cluster") X(kTensor, "tensor")    \
    X(kTile, "tile") X(kTileGather4, "tile::gather4") X(kTileScatter4, "tile::scatter4")          \
    X(kIm2col, "im2col") X(kIm2colNoOffs, "im2col_no_offs") X(kIm2colW, "im2col::w")              \
    X(kIm2colW128, "im2col::w::128") X(kNoinc, "noinc")                                           \
    X(kCpMask, "cp_mask") X(kCtaGroup1, "cta_group::1") X(kCtaGroup2, "cta_group::2")             \
    X(kInit, "init") X(kInval, "inval") X(kExpectTx, "expect_tx")                                 \
    X(kCompleteTxOp, "complete_tx") X(kArriveDrop, "arrive_drop") X(kNoComplete, "noComplete")    \
    X(kTestWait, "test_wait") X(kTryWait, "try_wait") X(kPendingCount, "pending_count")           \
    X(kParity, "parity") X(kMbarrierInit, "mbarrier_init")                                        \
    X(kProxy, "proxy") X(kProxyAlias, "proxy::alias") X(kProxyAsync, "proxy::async")              \
    X(kProxyAsyncGeneric, "proxy::async::generic")                                                \
    X(kSyncRestrictCluster, "sync_restrict::shared::cluster")                                     \
    X(kSyncRestrictCta, "sync_restrict::shared::cta")                                             \
    X(kLaunchDependents, "launch_dependents") X(kCpFenceproxy, "cp_fenceproxy")                   \
    X(kReplace, "replace")                                                                        \
    X(kGlobalAddress, "global_address") X(kRank, "rank") X(kBoxDim, "box_dim")                    \
    X(kGlobalDim, "global_dim") X(kGlobalStride, "global_stride")                                 \
    X(kElementStride, "element_stride") X(kElemtype, "elemtype")                                  \
    X(kInterleaveLayout, "interleave_layout") X(kSwizzleMode, "swizzle_mode")                     \
    X(kSwizzleAtomicity, "swizzle_atomicity") X(kFillMode, "fill_mode") X(kB1024, "b1024")        \
    X(kTryCancel, "try_cancel") X(kQueryCancel, "query_cancel") X(kIsCanceled, "is_canceled")     \
    X(kGetFirstCtaid, "get_first_ctaid") X(kGetFirstCtaidX, "get_first_ctaid::x")                 \
    X(kGetFirstCtaidY, "get_first_ctaid::y") X(kGetFirstCtaidZ, "get_first_ctaid::z")             \
    X(kMulticastAll, "multicast::cluster::all")                                                   \
    X(kLdReduce, "ld_reduce") X(kAcc32, "acc::f32") X(kAcc16, "acc::f16")                         \
    X(kDim1d, "1d") X(kDim2d, "2d") X(kDim3d, "3d") X(kDim4d, "4d") X(kDim5d, "5d")               \
    X(kA1d, "a1d") X(kA2d, "a2d") X(kCube, "cube") X(kAcube, "acube") X(kDim2dms, "2dms")         \
    X(kA2dms, "a2dms") X(kBase, "base") X(kLevel, "level") X(kGrad, "grad") X(kTrap, "trap")      \
    X(kZero, "zero") X(kP, "p") X(kG, "g")                                                        \
    X(kWidth, "width") X(kHeight, "height") X(kDepth, "depth")                                    \
    X(kChannelDataType, "channel_data_type") X(kChannelOrder, "channel_order")                    \
    X(kNormalizedCoords, "normalized_coords")                                                     \
    X(kForceUnnormalizedCoords, "force_unnormalized_coords") X(kFilterMode, "filter_mode")        \
    X(kAddrMode0, "addr_mode_0") X(kAddrMode1, "addr_mode_1") X(kAddrMode2, "addr_mode_2")        \
    X(kArraySize, "array_size") X(kNumMipmapLevels, "num_mipmap_levels")                          \
    X(kNumSamples, "num_samples") X(kMemoryLayout, "memory_layout")                               \
    X(kFence, "fence") X(kMmaAsync, "mma_async") X(kAlloc, "alloc") X(kDealloc, "dealloc")        \
    X(kRelinquish, "relinquish_alloc_permit") X(kLd, "ld") X(kSt, "st") X(kCp, "cp")              \
    X(kShift, "shift") X(kCommit, "commit") X(kWs, "ws")                                          \
    X(kFenceBefore, "fence::before_thread_sync") X(kFenceAfter, "fence::after_thread_sync")       \
    X(kWaitLd, "wait::ld") X(kWaitSt, "wait::st")                                                 \
    X(kArriveOne, "mbarrier::arrive::one") X(kCollectorAFill, "collector::a::fill")               \
    X(kCollectorAUse, "collector::a::use") X(kCollectorALastuse, "collector::a::lastuse")         \
    X(kCollectorADiscard, "collector::a::discard") X(kCollectorB, "collector::b#")                \
    X(kAshift, "ashift")                                                                          \
    X(kTm16x64b, "16x64b") X(kTm16x128b, "16x128b") X(kTm16x256b, "16x256b")                      \
    X(kTm32x32b, "32x32b") X(kTm16x32bx2, "16x32bx2") X(kTm128x256b, "128x256b")                  \
    X(kTm4x256b, "4x256b") X(kTm128x128b, "128x128b") X(kTm64x128b, "64x128b")                    \
    X(kTm32x128b, "32x128b") X(kUnpack, "unpack::16b") X(kPack, "pack::16b")                      \
    X(kWarpx2, "warpx2::02_13") X(kWarpx2b, "warpx2::01_23") X(kWarpx4, "warpx4")                 \
    X(kProxyTensormap, "proxy::tensormap::generic") X(kProxyTensormapOne, "proxy::tensormap")     \
    X(kTensormapGeneric, "tensormap::generic") X(kPack1, "pack")                                  \
    X(kScaledN2, "scaled::n2::ue8m0")
// clang-format on

enum class Modifier : std::uint16_t {
#define CUBAR_PTX_ENUMERATOR(name, text) name,
    CUBAR_PTX_MODIFIERS(CUBAR_PTX_ENUMERATOR)
#undef CUBAR_PTX_ENUMERATOR
        kCount
};

// The spelling without its dot ("rn").
std::string_view to_string(Modifier modifier);

}  // namespace cubar::softgpu::ptx
