// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::host {

/// Bytes of global memory that the variables of a PTX text take, alignment aside; saturates. Counts
/// what ptxas accepts as a declaration wherever it stands (PTX ISA, "State Spaces"), and at worst
/// something besides: a comment that looks like one, or an instruction's operands. So a guest's
/// text takes no memory that was not counted.
std::uint64_t ptx_variable_bytes(std::string_view text);

}  // namespace cubar::host
