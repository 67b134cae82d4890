// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::exec {

/// A stretch of Body::code that only its first instruction is jumped to.
struct FlowBlock {
    uint32_t begin = 0;
    uint32_t end = 0;        // one past the last instruction
    uint32_t next = kNone;   // the block that follows when no branch is taken
    bool is_target = false;  // some branch names it
    std::vector<uint32_t> successors;
    static constexpr uint32_t kNone = 0xffffffff;
};

/// The control flow of a body. The last block is empty when code falls off the end (an implied
/// ret).
std::vector<FlowBlock> find_blocks(const ptx::Body& body);

/// The order in which blocks are laid out, the entry first: topological, with each loop contiguous
/// and before the blocks that it leaves to. Lanes that wait at the lowest program counter then wait
/// where divergent paths meet again. Blocks that cannot be reached are left out.
std::vector<uint32_t> order_blocks(const std::vector<FlowBlock>& blocks);

}  // namespace cubar::softgpu::exec
