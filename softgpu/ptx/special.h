// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::softgpu::ptx {

// Special registers: enumerator, name, width in bits of a component, kind.
// Kind: 's' a scalar, 'v' a vector (.x .y .z .w), 'n' numbered (%envreg3: component 3),
// 'p' a predicate.
// clang-format off
#define CUBAR_PTX_SPECIALS(X)                                                               \
    X(kTid, "%tid", 32, 'v') X(kNtid, "%ntid", 32, 'v') X(kLaneid, "%laneid", 32, 's')      \
    X(kWarpid, "%warpid", 32, 's') X(kNwarpid, "%nwarpid", 32, 's')                         \
    X(kCtaid, "%ctaid", 32, 'v') X(kNctaid, "%nctaid", 32, 'v') X(kSmid, "%smid", 32, 's')  \
    X(kNsmid, "%nsmid", 32, 's') X(kGridid, "%gridid", 64, 's')                             \
    X(kIsExplicitCluster, "%is_explicit_cluster", 1, 'p')                                   \
    X(kClusterid, "%clusterid", 32, 'v') X(kNclusterid, "%nclusterid", 32, 'v')             \
    X(kClusterCtaid, "%cluster_ctaid", 32, 'v')                                             \
    X(kClusterNctaid, "%cluster_nctaid", 32, 'v')                                           \
    X(kClusterCtarank, "%cluster_ctarank", 32, 's')                                         \
    X(kClusterNctarank, "%cluster_nctarank", 32, 's')                                       \
    X(kLanemaskEq, "%lanemask_eq", 32, 's') X(kLanemaskLe, "%lanemask_le", 32, 's')         \
    X(kLanemaskLt, "%lanemask_lt", 32, 's') X(kLanemaskGe, "%lanemask_ge", 32, 's')         \
    X(kLanemaskGt, "%lanemask_gt", 32, 's') X(kClock, "%clock", 32, 's')                    \
    X(kClockHi, "%clock_hi", 32, 's') X(kClock64, "%clock64", 64, 's')                      \
    X(kPm, "%pm", 32, 'n') X(kPm64, "%pm_64", 64, 'n') X(kEnvreg, "%envreg", 32, 'n')       \
    X(kGlobaltimer, "%globaltimer", 64, 's') X(kGlobaltimerLo, "%globaltimer_lo", 32, 's')  \
    X(kGlobaltimerHi, "%globaltimer_hi", 32, 's')                                           \
    X(kReservedSmemBegin, "%reserved_smem_offset_begin", 32, 's')                           \
    X(kReservedSmemEnd, "%reserved_smem_offset_end", 32, 's')                               \
    X(kReservedSmemCap, "%reserved_smem_offset_cap", 32, 's')                               \
    X(kReservedSmemOffset, "%reserved_smem_offset_", 32, 'n')                               \
    X(kTotalSmemSize, "%total_smem_size", 32, 's') X(kAggrSmemSize, "%aggr_smem_size", 32, 's') \
    X(kDynamicSmemSize, "%dynamic_smem_size", 32, 's')                                      \
    X(kCurrentGraphExec, "%current_graph_exec", 64, 's')
// clang-format on

enum class Special : std::uint8_t {
    kNone,
#define CUBAR_PTX_ENUMERATOR(name, text, bits, kind) name,
    CUBAR_PTX_SPECIALS(CUBAR_PTX_ENUMERATOR)
#undef CUBAR_PTX_ENUMERATOR
};

std::string_view to_string(Special special);

// Width in bits of one component.
unsigned bits_of(Special special);

}  // namespace cubar::softgpu::ptx
