// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "softgpu/exec/flow.h"
#include "softgpu/exec/warp.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::exec {

/// Bits of a lane in the slot of a register of that type: 1 (a bit of a 32-bit mask), 16, 32, 64
/// or 128.
unsigned container_bits(ptx::Type type);

/// Gives each register of a body its place. Registers that are never live at the same time share
/// one, which keeps a warp's registers in the cache.
class RegisterFile {
public:
    explicit RegisterFile(const ptx::Body& body);

    /// Before slot(). `order`: how the blocks are laid out; `parameters`: registers that a call
    /// reads or writes from outside.
    void assign(const std::vector<FlowBlock>& blocks, const std::vector<uint32_t>& order,
                const std::vector<uint32_t>& parameters);

    [[nodiscard]] Slot slot(uint32_t index) const { return slots_[index]; }
    /// A place of its own, for a value that only the decoder knows of.
    Slot add_temporary(unsigned bits);
    /// Where results go that nobody wants.
    [[nodiscard]] Slot dump() const { return 0; }
    /// The carry flag, a mask.
    [[nodiscard]] Slot carry() const { return kCarryAt; }

    [[nodiscard]] uint32_t bytes() const { return bytes_; }
    /// 32-bit registers of a thread that are live at once, at most.
    [[nodiscard]] uint32_t live_registers() const { return live_registers_; }

private:
    static constexpr uint32_t kDumpBytes = kLanes * 16;
    static constexpr Slot kCarryAt = kDumpBytes;

    const ptx::Body& body_;
    std::vector<Slot> slots_;
    uint32_t bytes_ = kDumpBytes + 64;
    uint32_t live_registers_ = 0;
};

}  // namespace cubar::softgpu::exec
