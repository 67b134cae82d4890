// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/fill.h"

#include <algorithm>
#include <cstring>

#include "softgpu/device/capture.h"
#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"
#include "softgpu/device/issue.h"

namespace cubar::softgpu::device {

void Fill::check(const Memory& memory) const {
    if (width == 0 || height == 0) return;
    std::size_t row = 0;
    std::size_t span = 0;
    const bool overflow = __builtin_mul_overflow(width, element, &row) ||
                          __builtin_mul_overflow(pitch, height - 1, &span) ||
                          __builtin_add_overflow(span, row, &span);
    require_value(!overflow, "the fill is larger than any memory");
    require_value(base % element == 0 && (height == 1 || pitch % element == 0),
                  "the address is not aligned to the element");
    require_value(height == 1 || pitch >= row, "the pitch is too small");
    require_value(memory.holds(base, span), "the fill is not inside one allocation");
}

void Fill::perform() const {
    for (std::size_t y = 0; y < height; ++y) {
        auto* row = reinterpret_cast<std::byte*>(base + y * pitch);
        switch (element) {
            case 1:
                std::memset(row, static_cast<int>(value), width);
                break;
            case 2:
                std::fill_n(reinterpret_cast<std::uint16_t*>(row), width,
                            static_cast<std::uint16_t>(value));
                break;
            default:
                std::fill_n(reinterpret_cast<std::uint32_t*>(row), width, value);
                break;
        }
    }
}

void FillWork::run(Stream& stream) const {
    if (fill_.width == 0 || fill_.height == 0) return;
    const std::size_t span = fill_.pitch * (fill_.height - 1) + fill_.width * fill_.element;
    if (may_touch(stream, fill_.base, span)) fill_.perform();
}

void run_fill_async(Context& context, const StreamRef& stream, const Fill& fill) {
    fill.check(context.memory());
    issue(context, stream, std::make_shared<FillWork>(fill));
}

void run_fill(Context& context, const StreamRef& stream, const Fill& fill) {
    const AllocationRef allocation = context.memory().find(fill.base);
    if (allocation == nullptr || !allocation->on_host()) {
        run_fill_async(context, stream, fill);
        return;
    }
    Driver::get().captures().forbid(stream);
    fill.check(context.memory());
    context.streams().execute(stream, make_task([fill] { fill.perform(); }));
    context.require_healthy();
}

}  // namespace cubar::softgpu::device
