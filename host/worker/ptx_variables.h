// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace cubar::host {

/// Bytes of global memory that the variables of a PTX text take, alignment aside; saturates. Counts
/// what ptxas or softgpu accepts as a declaration, wherever it stands (PTX ISA, "State Spaces"), so
/// that a guest's text takes no memory that was not counted. It may count something besides:
/// comments that look like one, and 16 bytes for the operands of each cvta.to.global.u64.
std::uint64_t ptx_variable_bytes(std::string_view text);

}  // namespace cubar::host
