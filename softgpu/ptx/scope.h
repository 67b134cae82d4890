// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::ptx {

enum class SymbolKind : std::uint8_t {
    kRegister,        // index
    kVectorRegister,  // index of the first, count elements
    kVariable,        // scope, index
};

struct Symbol {
    SymbolKind kind = SymbolKind::kRegister;
    VariableScope scope = VariableScope::kBody;
    std::uint32_t index = 0;
    std::uint32_t count = 1;
};

// The names of a function body: nested `{ }` with registers, variables and labels of their own.
class Scopes {
public:
    static constexpr std::size_t kMaxDepth = 64;

    Scopes() { open(); }

    void open() { scopes_.emplace_back(); }
    std::size_t depth() const { return scopes_.size(); }

    // Leaves the innermost scope: references to labels that it did not define go to the one around.
    void close();

    // False when the name is taken in the innermost scope.
    bool declare(std::string_view name, Symbol symbol);
    // %r<10>: prefix "%r", ten registers from symbol.index.
    bool declare_range(std::string_view prefix, std::uint32_t first, std::uint32_t count);

    // What the name means here, or null. The pointer is good until the next call.
    const Symbol* find(std::string_view name);

    // Labels and lists of labels may be used before they are defined.
    enum class Mark : std::uint8_t { kNone, kLabel, kTargets, kPrototype };
    struct Definition {
        Mark mark = Mark::kNone;
        std::uint32_t index = 0;
    };
    struct Reference {
        std::string_view name;
        std::uint32_t line;
        Definition definition;
    };
    bool define(std::string_view name, Definition definition);
    // A number for resolved(), once all scopes are closed.
    std::uint32_t refer(std::string_view name, std::uint32_t line);
    const Reference& reference(std::uint32_t number) const { return references_[number]; }

private:
    struct Scope {
        std::unordered_map<std::string_view, Symbol> symbols;
        std::unordered_map<std::string_view, Symbol> ranges;
        std::unordered_map<std::string_view, Definition> marks;
        std::vector<std::uint32_t> pending;  // numbers of references
    };

    std::vector<Scope> scopes_;
    std::vector<Reference> references_;
    Symbol found_;
};

}  // namespace cubar::softgpu::ptx
