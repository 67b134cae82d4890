// SPDX-License-Identifier: Apache-2.0
#pragma once

// Typed looks into a TOML file. What is wrong is noted with its line and reading goes on, so that
// all mistakes are told at once.

#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/cubard/config.h"

namespace cubar::host {

class ConfigReader {
public:
    explicit ConfigReader(std::string_view file) : file_(file) {}

    static Line line_of(const toml::node& node) { return node.source().begin.line; }

    void wrong(const toml::node& where, const std::string& what) {
        wrongs_.emplace_back(line_of(where), what);
    }

    /// Throws ConfigError if anything was wrong.
    void finish() {
        if (wrongs_.empty()) {
            return;
        }
        std::ranges::stable_sort(wrongs_, {}, &std::pair<Line, std::string>::first);
        std::vector<std::string> words;
        for (const auto& [line, what] : wrongs_) {
            words.push_back(std::string(file_) + ":" + std::to_string(line) + ": " + what);
        }
        throw ConfigError(std::move(words));
    }

    /// Every key that is not among `known` is wrong.
    void only(const toml::table& table, const char* part,
              std::initializer_list<std::string_view> known) {
        for (const auto& [key, value] : table) {
            if (std::ranges::find(known, key.str()) == known.end()) {
                wrong(value, "unknown key '" + std::string(key.str()) + "' in " + part);
            }
        }
    }

    const toml::table* table(const toml::table& parent, std::string_view key) {
        const toml::node* node = parent.get(key);
        if (node != nullptr && !node->is_table()) {
            wrong(*node, quoted(key) + " must be a table");
        }
        return node != nullptr ? node->as_table() : nullptr;
    }

    /// The readers of values leave `value` as it is where the key is absent or wrong, and return
    /// whether they set it.
    bool string(const toml::table& table, std::string_view key, std::string& value) {
        const toml::node* node = table.get(key);
        if (node == nullptr) {
            return false;
        }
        const auto* text = node->as_string();
        if (text == nullptr) {
            wrong(*node, quoted(key) + " must be a string");
            return false;
        }
        if (text->get().empty() || text->get().find('\0') != std::string::npos) {
            wrong(*node, quoted(key) + " must not be empty");
            return false;
        }
        value = text->get();
        return true;
    }

    template <typename T>
    void integer(const toml::table& table, std::string_view key, std::int64_t low,
                 std::int64_t high, T& value) {
        if (const toml::node* node = table.get(key)) {
            const auto* number = node->as_integer();
            if (number == nullptr || number->get() < low || number->get() > high) {
                wrong(*node, quoted(key) + " must be an integer from " + std::to_string(low) +
                                 " to " + std::to_string(high));
                return;
            }
            value = static_cast<T>(number->get());
        }
    }

    bool bytes(const toml::table& table, std::string_view key, std::uint64_t& value) {
        const toml::node* node = table.get(key);
        if (node == nullptr) {
            return false;
        }
        std::optional<std::uint64_t> size;
        if (const auto* text = node->as_string()) {
            size = parse_bytes(text->get());
        } else if (const auto* number = node->as_integer(); number != nullptr && *number > 0) {
            size = static_cast<std::uint64_t>(number->get());
        }
        if (!size) {
            wrong(*node, quoted(key) + " must be a size such as \"4 GiB\", \"512 MiB\" or bytes");
            return false;
        }
        value = *size;
        return true;
    }

    void path(const toml::table& table, std::string_view key, std::string& value) {
        std::string read;
        if (!string(table, key, read)) {
            return;
        }
        if (read.front() != '/') {
            wrong(*table.get(key), quoted(key) + " must be an absolute path");
            return;
        }
        value = std::move(read);
    }

    static std::string quoted(std::string_view key) {
        return std::string("'").append(key).append("'");
    }

private:
    std::string_view file_;
    std::vector<std::pair<Line, std::string>> wrongs_;
};

}  // namespace cubar::host
