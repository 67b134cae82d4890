// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "softgpu/exec/block.h"

namespace cubar::softgpu::exec {

/// A call of vprintf, __assertfail, malloc, free or cudaGraphSetConditional.
const Insn* call_builtin(WarpState& warp, const Insn* insn, uint32_t mask, const CallSite& site);

/// What printf reads while it formats: `size` bytes at `offset` of the argument block, and strings.
struct PrintArguments {
    std::function<std::optional<uint64_t>(uint64_t offset, unsigned size)> read;
    std::function<std::optional<std::string>(uint64_t address)> read_string;
};

/// C's printf over the argument block that CUDA's vprintf gets, where each argument lies at a
/// multiple of its size. A conversion that C does not know is printed as it stands. nullopt when an
/// argument lies in memory that the thread may not read. `count` becomes the number of arguments.
std::optional<std::string> format_device(const std::string& format, const PrintArguments& arguments,
                                         int& count);

}  // namespace cubar::softgpu::exec
