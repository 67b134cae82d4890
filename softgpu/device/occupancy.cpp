// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/occupancy.h"

#include <algorithm>

namespace cubar::softgpu::device {

BlockDemand demand_of(const Function& function, int threads, std::size_t dynamic_shared) {
    return {threads, function.registers(),
            static_cast<std::size_t>(function.static_shared()) + dynamic_shared};
}

int active_blocks(const Architecture& architecture, const BlockDemand& demand) {
    if (demand.threads <= 0 || demand.threads > Architecture::kThreadsPerBlock) return 0;
    const int warps = (demand.threads + Architecture::kWarpSize - 1) / Architecture::kWarpSize;
    const int warps_per_multiprocessor =
        architecture.threads_per_multiprocessor / Architecture::kWarpSize;
    int blocks = std::min(architecture.blocks_per_multiprocessor, warps_per_multiprocessor / warps);

    const auto per_warp = static_cast<int>(
        round_up(static_cast<std::size_t>(demand.registers) * Architecture::kWarpSize,
                 Architecture::kRegisterUnit));
    if (per_warp != 0)
        blocks = std::min(blocks, Architecture::kRegistersPerMultiprocessor / per_warp / warps);

    const std::size_t taken =
        round_up(demand.shared + static_cast<std::size_t>(architecture.shared_reserved_per_block),
                 static_cast<std::size_t>(architecture.shared_unit));
    const auto shared = static_cast<std::size_t>(architecture.shared_per_multiprocessor);
    if (taken != 0)
        blocks = static_cast<int>(
            std::min<std::size_t>(static_cast<std::size_t>(blocks), shared / taken));
    return blocks;
}

std::size_t shared_per_block(const Architecture& architecture, int blocks) {
    const auto unit = static_cast<std::size_t>(architecture.shared_unit);
    const auto share = static_cast<std::size_t>(architecture.shared_per_multiprocessor) /
                       static_cast<std::size_t>(blocks) / unit * unit;
    const auto reserved = static_cast<std::size_t>(architecture.shared_reserved_per_block);
    if (share <= reserved) return 0;
    return std::min(share - reserved,
                    static_cast<std::size_t>(architecture.shared_per_block_optin));
}

}  // namespace cubar::softgpu::device
