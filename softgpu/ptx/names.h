// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "softgpu/ptx/modifier.h"
#include "softgpu/ptx/opcode.h"
#include "softgpu/ptx/special.h"
#include "softgpu/ptx/type.h"

namespace cubar::softgpu::ptx {

// From the spelling (without the dot) to the enumerator.
std::optional<Opcode> find_opcode(std::string_view name);
std::optional<Modifier> find_modifier(std::string_view name);
std::optional<Type> find_type(std::string_view name);

struct SpecialName {
    Special special;
    std::uint8_t component;  // number of %envreg<n>, %pm<n>
};

// From "%laneid" or "%envreg3"; components (.x) are the caller's.
std::optional<SpecialName> find_special(std::string_view name);

// Whether it has the components .x .y .z .w.
bool is_vector(Special special);

// Whether it is .texref, .samplerref or .surfref.
bool is_opaque(Type type);

}  // namespace cubar::softgpu::ptx
