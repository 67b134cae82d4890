// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/scope.h"

#include <charconv>

namespace cubar::softgpu::ptx {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

}  // namespace

void Scopes::close() {
    Scope scope = std::move(scopes_.back());
    scopes_.pop_back();
    for (std::uint32_t number : scope.pending) {
        Reference& reference = references_[number];
        const auto found = scope.marks.find(reference.name);
        if (found != scope.marks.end()) {
            reference.definition = found->second;
        } else if (!scopes_.empty()) {
            scopes_.back().pending.push_back(number);
        }
    }
}

bool Scopes::declare(std::string_view name, Symbol symbol) {
    return scopes_.back().symbols.emplace(name, symbol).second;
}

bool Scopes::declare_range(std::string_view prefix, std::uint32_t first, std::uint32_t count) {
    Symbol symbol;
    symbol.index = first;
    symbol.count = count;
    return scopes_.back().ranges.emplace(prefix, symbol).second;
}

const Symbol* Scopes::find(std::string_view name) {
    for (std::size_t i = scopes_.size(); i-- > 0;) {
        const Scope& scope = scopes_[i];
        if (const auto found = scope.symbols.find(name); found != scope.symbols.end()) {
            return &found->second;
        }
        if (scope.ranges.empty()) continue;
        // "%a12" is number 2 of %a1<10> as well as number 12 of %a<100>: try every split.
        for (std::size_t split = name.size(); split-- > 1 && is_digit(name[split]);) {
            const std::string_view digits = name.substr(split);
            if (digits.size() > 1 && digits.front() == '0') continue;
            const auto found = scope.ranges.find(name.substr(0, split));
            if (found == scope.ranges.end()) continue;
            std::uint32_t number = 0;
            const auto [end, error] =
                std::from_chars(digits.data(), digits.data() + digits.size(), number);
            if (error != std::errc() || number >= found->second.count) continue;
            found_ = found->second;
            found_.index += number;
            return &found_;
        }
    }
    return nullptr;
}

bool Scopes::define(std::string_view name, Definition definition) {
    return scopes_.back().marks.emplace(name, definition).second;
}

std::uint32_t Scopes::refer(std::string_view name, std::uint32_t line) {
    const auto number = static_cast<std::uint32_t>(references_.size());
    references_.push_back({name, line, {}});
    scopes_.back().pending.push_back(number);
    return number;
}

}  // namespace cubar::softgpu::ptx
