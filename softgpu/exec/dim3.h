// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cubar::softgpu::exec {

struct Dim3 {
    uint32_t x = 1;
    uint32_t y = 1;
    uint32_t z = 1;

    [[nodiscard]] uint64_t count() const { return uint64_t{x} * y * z; }
};

}  // namespace cubar::softgpu::exec
