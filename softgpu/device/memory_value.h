// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <vector>

#include "softgpu/device/context.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

/// cuStreamWriteValue, cuStreamWaitValue: one operation on one word of memory.
struct ValueOperation {
    enum class Kind : std::uint8_t { kWrite, kWait, kBarrier };
    Kind kind = Kind::kWrite;
    unsigned bytes = 4;  ///< 4 or 8
    Address address = 0;
    std::uint64_t value = 0;
    unsigned flags = 0;  ///< CU_STREAM_WRITE_VALUE_… or CU_STREAM_WAIT_VALUE_…

    /// Throws CUDA_ERROR_INVALID_VALUE or CUDA_ERROR_NOT_SUPPORTED.
    void check(const Memory& memory) const;
    void perform(const Stream& stream) const;
};

/// Several of them as one operation, in their order.
class ValuesWork final : public Work {
public:
    /// Checks all of them.
    ValuesWork(const Memory& memory, std::span<const ValueOperation> operations);
    void run(Stream& stream) const override;
    [[nodiscard]] bool brief() const override { return !waits_; }

    [[nodiscard]] const std::vector<ValueOperation>& operations() const { return operations_; }

private:
    std::vector<ValueOperation> operations_;
    bool waits_;
};

/// Checks all of them, then enqueues them as one operation.
void run_values(Context& context, const StreamRef& stream,
                std::span<const ValueOperation> operations);

}  // namespace cubar::softgpu::device
