// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "softgpu/device/context.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

/// A memset: `height` rows of `width` elements of 1, 2 or 4 bytes.
struct Fill {
    Address base = 0;
    std::size_t pitch = 0;  ///< bytes
    unsigned element = 1;   ///< bytes
    std::uint32_t value = 0;
    std::size_t width = 0;
    std::size_t height = 1;

    /// Throws CUDA_ERROR_INVALID_VALUE.
    void check(const Memory& memory) const;
    void perform() const;
};

class FillWork final : public Work {
public:
    explicit FillWork(const Fill& fill) : Work(CU_GRAPH_NODE_TYPE_MEMSET), fill_(fill) {}
    void run(Stream& stream) const override;

    [[nodiscard]] const Fill& fill() const { return fill_; }

private:
    Fill fill_;
};

/// Checks and enqueues it. The host waits only where the memory is its own.
void run_fill(Context& context, const StreamRef& stream, const Fill& fill);
void run_fill_async(Context& context, const StreamRef& stream, const Fill& fill);

}  // namespace cubar::softgpu::device
