// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "softgpu/device/device.h"
#include "softgpu/device/module.h"

namespace cubar::softgpu::device {

/// What one block of a kernel takes of a multiprocessor.
struct BlockDemand {
    int threads = 0;
    int registers = 0;       ///< per thread
    std::size_t shared = 0;  ///< bytes, static and dynamic
};

BlockDemand demand_of(const Function& function, int threads, std::size_t dynamic_shared);

/// Blocks that one multiprocessor can hold at once, by threads, blocks, registers and shared memory
/// with their granularities; 0 when not even one fits.
int active_blocks(const Architecture& architecture, const BlockDemand& demand);

/// The most shared memory in bytes that each of `blocks` resident blocks can have.
std::size_t shared_per_block(const Architecture& architecture, int blocks);

}  // namespace cubar::softgpu::device
