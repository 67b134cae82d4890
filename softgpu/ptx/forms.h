// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::ptx {

// One way of writing an instruction: which words, types and operands go together. The table in
// forms.cpp says it in a small language; this is that language parsed.

// At most one of these words; exactly one if required.
struct ModifierGroup {
    bool required = false;
    std::vector<Modifier> words;
};

enum class OperandRole : std::uint8_t {
    kDestination,      // d: register of the type's width
    kWideDestination,  // D: register at least that wide (predicates never)
    kOptionalResult,   // e: like d, or `_`
    kSource,           // s: register of the type's width, or immediate
    kWideSource,       // S: register at least that wide, or immediate
    kAnySource,        // m: what mov and cvt read: like S, special registers, addresses of symbols
    kPacked,           // k: like d, or {…} whose widths add up to the type's
    kPackedSource,     // K: like m with exact width, or {…} whose widths add up
    kVectorTo,         // L: like D, or with .v2 .v4 .v8 a vector of as many
    kVectorFrom,       // T: like S, or with .v2 .v4 .v8 a vector of as many
    kImmediate,        // i
    kPredicateOut,     // p: predicate register or `_`
    kPredicateIn,      // q: predicate register, negated or not, or an immediate
    kAddress,          // a: […]
    kLabel,            // l
    kTargets,          // g: a .branchtargets list
    kFragment,         // x: vector (or single register) of 32-bit or wider registers
    kRegisterOrPredicate,  // o
    kSymbol,               // y: register, immediate or address of a variable
    kAnything,             // *: any number of any operands
};

struct OperandRule {
    OperandRole role{};
    bool optional = false;
    std::int8_t type_position = -1;  // the instruction's type of that position …
    Type type = Type::kNone;         // … or this one
    bool doubled = false;            // twice as wide (mul.wide)
    char pair = 0;                   // 'p': `|q` may follow; 'n': never, but the place is kept
    // The size of a fragment follows from the shape: 'A', 'B', 'C', 'D' of mma, 'N' of ldmatrix;
    // 'V': the shape is m8n8k4, with a layout of its own; 0: any size.
    char fragment = 0;
};

struct Form {
    std::vector<ModifierGroup> modifiers;
    bool any_modifiers = false;
    bool any_types = false;
    std::vector<std::vector<Type>> types;  // by position
    std::vector<OperandRule> operands;
};

// The forms of an opcode, in order of preference.
std::span<const Form> forms_of(Opcode opcode);

}  // namespace cubar::softgpu::ptx
