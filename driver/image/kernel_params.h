// SPDX-License-Identifier: Apache-2.0
// The parameters of a kernel, as its cubin describes them in .nv.info.<kernel>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "driver/image/elf.h"

namespace cubar::driver::image {

struct KernelParam {
    std::uint32_t offset;  // bytes from the start of the parameter buffer
    std::uint32_t size;    // bytes
};

struct KernelParams {
    std::vector<KernelParam> params;  // by position
    std::uint32_t total_size = 0;     // bytes, as the launch wants them
};

// Parses the contents of one .nv.info.<kernel> section. Fails if a parameter is missing, named
// twice, or lies outside the total.
Result<KernelParams> parse_kernel_params(Bytes info) noexcept;

// Those of a kernel by its (mangled) name; fails if the image has no such kernel.
Result<KernelParams> kernel_params(const ElfReader& elf, std::string_view kernel) noexcept;

}  // namespace cubar::driver::image
