// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "softgpu/ptx/lexer.h"
#include "softgpu/ptx/type.h"

namespace cubar::softgpu::ptx {

// The value of a constant expression: a 64-bit integer, or a double.
struct Constant {
    enum class Kind : std::uint8_t { kSigned, kUnsigned, kSingle, kDouble };
    Kind kind = Kind::kSigned;
    std::uint64_t bits = 0;  // of the integer, of the float (low 32) or of the double

    bool is_float() const { return kind == Kind::kSingle || kind == Kind::kDouble; }
    double as_double() const;  // of a float kind
};

// Whether the current token can begin a constant expression.
bool begins_constant(const Token& token);

// Parses and evaluates one, with C's operators and precedences, as PTX has them.
// Throws SyntaxError (a division by zero included).
Constant parse_constant(Lexer& lexer);

// The bits that the constant has as a value of `type`, cut to its width: floats are rounded to the
// float type; for an untyped or integer `type`, a float literal gives its bits.
// False where PTX has no such conversion (an integer for .f32, a float for .f16 or .s32).
bool convert(const Constant& constant, Type type, std::uint64_t& bits);

}  // namespace cubar::softgpu::ptx
