// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/ptx/ast.h"
#include "softgpu/ptx/lexer.h"

namespace cubar::softgpu::ptx {

inline constexpr std::uint64_t kMaxVariableSize = std::uint64_t{1} << 40;
inline constexpr std::uint32_t kMaxAlign = 1u << 20;
inline constexpr std::size_t kMaxParameters = 4096;

// The state space that a directive names (".shared" → kShared).
std::optional<Space> space_of(std::string_view directive);

// A symbol that an initialiser names. It may be declared further down, so it is looked up at the
// end.
struct PendingSymbol {
    std::string_view name;
    std::uint32_t variable;  // whose relocation it is
    std::size_t relocation;
    std::uint32_t line;
};

// What stands between the state space and the name: `.align 8 .v4 .f32`, in any order, with
// .attribute and .ptr. The state space is the caller's.
Variable parse_type(Lexer& lexer, Space space);

// `[4][2]` after the name, or nothing; sets size. `dimensions` receives the extents, 0 for `[]`.
void parse_dimensions(Lexer& lexer, Variable& variable, std::vector<std::uint64_t>& dimensions);

// What follows `=`. A variable declared `[]` gets its size from it.
void parse_initialiser(Lexer& lexer, Variable& variable,
                       const std::vector<std::uint64_t>& dimensions, std::uint32_t index,
                       std::vector<PendingSymbol>& pending);

// `(.param .u64 a, .param .align 8 .b8 b[16])`, with the offsets in the parameter block, or, for
// .reg parameters, register numbers from `first_register`. Names may be `_` or absent in
// prototypes. `size` receives the size of the block.
std::vector<Variable> parse_parameters(Lexer& lexer, bool need_names, std::uint32_t first_register,
                                       std::uint64_t& size);

// Gives the variable the next aligned offset in a frame of `size` bytes.
void place(Variable& variable, std::uint64_t& size);

}  // namespace cubar::softgpu::ptx
