// SPDX-License-Identifier: Apache-2.0
#include "host/worker/ptx_variables.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>

namespace cubar::host {
namespace {

constexpr std::string_view kGlobal = ".global";
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kUnknownElement = 32;  // textures and surfaces take 28
constexpr std::uint64_t kWarpSize = 32;

// Every declaration is looked for to its end, also in what may be a comment of another one. So that
// no text makes that quadratic, comments may be skipped so many times over, which no compiler
// needs.
constexpr std::size_t kCommentsAgain = 16;

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
    return a > kMost - b ? kMost : a + b;
}

std::uint64_t multiply(std::uint64_t a, std::uint64_t b) {
    std::uint64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? kMost : product;
}

bool in_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%';
}

/// The tokens after a state space: words (with their leading dot), numbers, single characters. They
/// end at the next state space, which no declaration contains. Takes what comments it skips off
/// `budget`, and ends with it.
class Tokens {
public:
    Tokens(std::string_view text, std::size_t& budget) : text_(text), budget_(budget) { next(); }

    /// Empty at the end.
    std::string_view now() const { return now_; }
    bool is(char c) const { return now_.size() == 1 && now_[0] == c; }
    bool is_name() const { return !now_.empty() && in_name(now_[0]) && !is_number(); }
    bool is_number() const {
        return !now_.empty() && std::isdigit(static_cast<unsigned char>(now_[0])) != 0;
    }
    bool is_word() const { return now_.size() > 1 && now_[0] == '.'; }

    void next() {
        skip_space();
        std::size_t length = text_.empty() ? 0 : 1;
        if (length != 0 && (text_[0] == '.' || in_name(text_[0]))) {
            while (length < text_.size() && in_name(text_[length])) ++length;
        }
        now_ = text_.substr(0, length);
        text_.remove_prefix(length);
        if (now_ == kGlobal) now_ = text_ = {};
    }

private:
    void skip_space() {
        for (;;) {
            std::size_t skipped = 0;
            if (text_.starts_with("//")) {
                skipped = skip_comment(text_.find('\n'));
            } else if (text_.starts_with("/*")) {
                skipped = skip_comment(text_.find("*/", 2));
            } else {
                while (skipped < text_.size() &&
                       std::isspace(static_cast<unsigned char>(text_[skipped])) != 0)
                    ++skipped;
            }
            if (skipped == 0) return;
            text_.remove_prefix(skipped);
        }
    }

    // The bytes of a comment whose end is found there; the `/` of its end is skipped with it.
    std::size_t skip_comment(std::size_t end) {
        const std::size_t length = end == std::string_view::npos ? text_.size() : end + 1;
        const std::size_t whole = length + (text_[1] == '*' && length < text_.size() ? 1 : 0);
        if (whole > budget_) {
            budget_ = 0;
            text_ = {};
            return 0;
        }
        budget_ -= whole;
        return whole;
    }

    std::string_view text_;
    std::size_t& budget_;
    std::string_view now_;
};

/// Decimal, octal, hexadecimal or binary, with or without U, or WARP_SZ.
std::optional<std::uint64_t> constant(std::string_view text) {
    if (text == "WARP_SZ") return kWarpSize;
    if (text.ends_with('U')) text.remove_suffix(1);
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    } else if (text.starts_with("0b") || text.starts_with("0B")) {
        base = 2;
        text.remove_prefix(2);
    } else if (text.starts_with('0')) {
        base = 8;
    }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (end != text.data() + text.size() || text.empty()) return std::nullopt;
    return error == std::errc() ? value : kMost;
}

/// What an element takes after the word `.v4` or `.f32`; as before after any other.
std::uint64_t element_after(std::string_view word, std::uint64_t element) {
    const std::size_t digits = word.find_first_of("0123456789");
    if (word == ".v2" || word == ".v4" || word == ".v8") {
        return multiply(element, std::uint64_t(word[2] - '0'));
    }
    if (digits == std::string_view::npos) return element;
    std::uint64_t bits = 0;
    std::uint64_t count = 1;
    const char* const end = word.data() + word.size();
    const char* at = std::from_chars(word.data() + digits, end, bits).ptr;
    if (at != end && *at == 'x') std::from_chars(at + 1, end, count);
    const bool whole = bits % 8 == 0 && bits != 0 && bits <= 128 && count <= 8;
    return whole ? bits / 8 * count : element;
}

/// Skips an initializer, and returns how many elements it can have at the most.
std::uint64_t skip_initializer(Tokens& tokens) {
    std::uint64_t elements = 1;
    int depth = 0;
    for (; !tokens.now().empty() && !tokens.is(';'); tokens.next()) {
        if (tokens.is(',')) {
            if (depth == 0) break;
            ++elements;
        }
        if (tokens.is('{') || tokens.is('(')) ++depth;
        if (tokens.is('}') || tokens.is(')')) --depth;
    }
    return elements;
}

/// An expression is too much for any quota: ptxas refuses it, though not every driver does.
std::uint64_t dimension(Tokens& tokens) {
    std::uint64_t size = constant(tokens.now()).value_or(kMost);
    tokens.next();
    for (; !tokens.is(']') && !tokens.is('>'); tokens.next()) {
        size = kMost;
        if (tokens.now().empty() || tokens.is(';')) break;
    }
    return size;
}

/// One name with its dimensions and initializer; nothing if it is none.
std::optional<std::uint64_t> declarator(Tokens& tokens, std::uint64_t element) {
    if (!tokens.is_name()) return std::nullopt;
    tokens.next();
    std::uint64_t elements = 1;
    bool open = false;  // there is a row for each element of the initializer at the most
    while (tokens.is('[') || tokens.is('<')) {
        tokens.next();
        const std::uint64_t size = tokens.is(']') ? 0 : dimension(tokens);
        if (size == 0) {
            open = true;
        } else {
            elements = multiply(elements, size);
        }
        tokens.next();
    }
    std::uint64_t initial = 0;
    if (tokens.is('=')) initial = skip_initializer(tokens);
    if (open) elements = multiply(elements, initial);
    return multiply(element, elements);
}

/// What the declaration takes of which this is what follows `.global`; 0 if it is none.
std::uint64_t declaration(std::string_view text, std::size_t& budget) {
    Tokens tokens(text, budget);
    std::uint64_t element = kUnknownElement;
    std::uint64_t vector = 1;
    if (!tokens.is_word()) return 0;  // no type
    for (; tokens.is_word() || tokens.is_number() || tokens.is('('); tokens.next()) {
        if (tokens.is('(')) {  // of an attribute
            while (!tokens.now().empty() && !tokens.is(')')) tokens.next();
        } else if (tokens.is_word() && tokens.now().starts_with(".v")) {
            vector = element_after(tokens.now(), 1);
        } else if (tokens.is_word()) {
            element = element_after(tokens.now(), element);
        }
    }
    std::uint64_t bytes = 0;
    for (;;) {
        const auto one = declarator(tokens, multiply(element, vector));
        if (!one) return 0;
        bytes = add(bytes, *one);
        if (!tokens.is(',')) return tokens.is(';') ? bytes : 0;
        tokens.next();
    }
}

}  // namespace

std::uint64_t ptx_variable_bytes(std::string_view text) {
    std::uint64_t bytes = 0;
    std::size_t budget = multiply(text.size(), kCommentsAgain);
    std::size_t at = 0;
    while ((at = text.find(kGlobal, at)) != std::string_view::npos) {
        at += kGlobal.size();
        if (at < text.size() && in_name(text[at])) continue;
        bytes = add(bytes, declaration(text.substr(at), budget));
        if (budget == 0) return kMost;
    }
    return bytes;
}

}  // namespace cubar::host
