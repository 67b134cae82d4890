// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/lexer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>

namespace cubar::softgpu::ptx {
namespace {

enum Class : std::uint8_t {
    kBlank = 1,  // white space except newline
    kDigit = 2,
    kLetter = 4,  // begins an identifier
    kHex = 8,
    kBodyStop = 16,  // what skip_braces must look at
};

constexpr std::size_t kMaxQuoted = 80;

constexpr std::array<std::uint8_t, 256> kClasses = [] {
    std::array<std::uint8_t, 256> classes{};
    const auto add = [&](std::string_view characters, std::uint8_t mark) {
        for (char c : characters) classes[static_cast<unsigned char>(c)] |= mark;
    };
    add(" \t\r\f\v", kBlank);
    add("0123456789", kDigit | kHex);
    add("abcdefABCDEF", kHex);
    add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$%", kLetter);
    add("{}\"/", kBodyStop);
    return classes;
}();

bool is(char c, unsigned classes) {
    return (kClasses[static_cast<unsigned char>(c)] & classes) != 0;
}

bool is_word(char c) {
    return is(c, kLetter | kDigit) && c != '%';
}

}  // namespace

std::string quoted(std::string_view text) {
    std::string result;
    result.append(1, '`').append(text.substr(0, kMaxQuoted)).append(1, '`');
    return result;
}

std::string quoted_word(std::string_view word) {
    std::string result;
    result.append("`.").append(word.substr(0, kMaxQuoted)).append(1, '`');
    return result;
}

std::string describe(const Token& token) {
    switch (token.kind) {
        case TokenKind::kEnd:
            return "the end of the text";
        case TokenKind::kString:
            return "a string";
        case TokenKind::kDirective:
            return quoted_word(token.text);
        default:
            return quoted(token.text);
    }
}

void Lexer::fail(const std::string& reason) const {
    throw SyntaxError(token_.line, reason);
}

void Lexer::fail_expected(std::string_view what) const {
    fail("expected " + std::string(what) + ", found " + describe(token_));
}

Token Lexer::take() {
    const Token token = token_;
    advance();
    return token;
}

bool Lexer::accept(std::string_view punctuation) {
    if (!token_.is(punctuation)) return false;
    advance();
    return true;
}

bool Lexer::accept_directive(std::string_view name) {
    if (!token_.is_directive(name)) return false;
    advance();
    return true;
}

void Lexer::expect(std::string_view punctuation) {
    if (!accept(punctuation)) fail_expected(quoted(punctuation));
}

std::string_view Lexer::expect_identifier(const char* what) {
    if (token_.kind != TokenKind::kIdentifier) fail_expected(what);
    return take().text;
}

std::uint64_t Lexer::expect_integer(const char* what, std::uint64_t limit) {
    if (token_.kind != TokenKind::kInteger) fail_expected(what);
    if (token_.bits > limit) {
        fail(std::string(what) + " is too large: at most " + std::to_string(limit));
    }
    return take().bits;
}

std::string_view Lexer::expect_string() {
    if (token_.kind != TokenKind::kString) fail_expected("a string");
    return take().text;
}

std::string_view Lexer::word_from(std::size_t begin) {
    while (position_ < text_.size()) {
        if (is_word(text_[position_])) {
            ++position_;
        } else if (text_.substr(position_, 2) == "::" && position_ + 2 < text_.size() &&
                   is_word(text_[position_ + 2])) {
            position_ += 2;
        } else {
            break;
        }
    }
    return text_.substr(begin, position_ - begin);
}

bool Lexer::take_suffix(std::string_view& word) {
    if (position_ + 1 >= text_.size() || text_[position_] != '.' ||
        !is_word(text_[position_ + 1])) {
        return false;
    }
    ++position_;
    word = word_from(position_);
    return true;
}

void Lexer::skip_blank() {
    while (position_ < text_.size()) {
        const char c = text_[position_];
        if (c == '\n') {
            ++line_;
            ++position_;
        } else if (is(c, kBlank)) {
            ++position_;
        } else if (c == '/' && text_.substr(position_, 2) == "//") {
            position_ = std::min(text_.find('\n', position_), text_.size());
        } else if (c == '/' && text_.substr(position_, 2) == "/*") {
            const std::size_t end = text_.find("*/", position_ + 2);
            if (end == std::string_view::npos) {
                position_ = text_.size();
                throw SyntaxError(line_, "this comment has no end");
            }
            line_ += static_cast<std::uint32_t>(
                std::count(text_.begin() + static_cast<std::ptrdiff_t>(position_),
                           text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
            position_ = end + 2;
        } else {
            return;
        }
    }
}

void Lexer::advance() {
    skip_blank();
    token_ = Token{};
    token_.line = line_;
    token_begin_ = position_;
    if (position_ >= text_.size()) return;
    const char c = text_[position_];
    const bool has_next = position_ + 1 < text_.size();
    // A lone `%` is the operator.
    if (is(c, kLetter) && (c != '%' || (has_next && is_word(text_[position_ + 1])))) {
        ++position_;
        while (position_ < text_.size() && is_word(text_[position_])) ++position_;
        token_.kind = TokenKind::kIdentifier;
        token_.text = text_.substr(token_begin_, position_ - token_begin_);
    } else if (is(c, kDigit)) {
        lex_number();
    } else if (c == '.' && has_next && is_word(text_[position_ + 1])) {
        ++position_;
        token_.kind = TokenKind::kDirective;
        token_.text = word_from(position_);
    } else if (c == '"') {
        lex_string();
    } else {
        lex_punctuation();
    }
}

void Lexer::lex_number() {
    const char* const begin = text_.data() + position_;
    const char* const end = text_.data() + text_.size();
    const char* const digits = begin + 2;
    const char kind = begin + 1 < end ? begin[1] : ' ';
    const char* last = begin;
    std::from_chars_result result{begin, std::errc()};

    const auto integer = [&](const char* from, int base) {
        result = std::from_chars(from, end, token_.bits, base);
        last = result.ptr;
        token_.kind = TokenKind::kInteger;
    };
    const auto float_bits = [&](std::ptrdiff_t count) {
        last = digits;
        while (last < end && is(*last, kHex)) ++last;
        if (last - digits != count) {
            fail("a floating-point literal needs " + std::to_string(count) + " hexadecimal digits");
        }
        std::from_chars(digits, last, token_.bits, 16);
        token_.kind = TokenKind::kFloat;
        token_.is_single = count == 8;
    };

    if (*begin == '0' && (kind == 'f' || kind == 'F')) {
        float_bits(8);
    } else if (*begin == '0' && (kind == 'd' || kind == 'D')) {
        float_bits(16);
    } else if (*begin == '0' && (kind == 'x' || kind == 'X')) {
        integer(digits, 16);
    } else if (*begin == '0' && (kind == 'b' || kind == 'B')) {
        integer(digits, 2);
    } else {
        while (last < end && is(*last, kDigit)) ++last;
        const bool exponent = last < end && (*last == 'e' || *last == 'E');
        if ((last < end && *last == '.') || exponent) {
            double value = 0;
            result = std::from_chars(begin, end, value);
            last = result.ptr;
            token_.bits = std::bit_cast<std::uint64_t>(value);
            token_.kind = TokenKind::kFloat;
        } else {
            integer(begin, *begin == '0' ? 8 : 10);
        }
    }
    if (result.ec == std::errc::result_out_of_range) fail("this number does not fit in 64 bits");
    if (token_.kind == TokenKind::kInteger && last < end && *last == 'U') {
        token_.is_unsigned = true;
        ++last;
    }
    if (token_.bits > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        token_.is_unsigned = true;
    }
    if (result.ec != std::errc() || (last < end && is_word(*last))) {
        while (last < end && is_word(*last)) ++last;
        token_.text = std::string_view(begin, static_cast<std::size_t>(last - begin));
        fail(quoted(token_.text) + " is not a number");
    }
    position_ += static_cast<std::size_t>(last - begin);
    token_.text = text_.substr(token_begin_, position_ - token_begin_);
}

void Lexer::lex_string() {
    std::size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\n') {
        end += text_[end] == '\\' ? 2 : 1;
    }
    if (end >= text_.size() || text_[end] != '"') fail("this string has no end");
    token_.kind = TokenKind::kString;
    token_.text = text_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
}

void Lexer::lex_punctuation() {
    static constexpr std::array<std::string_view, 9> kPairs{
        "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "@@"};
    const std::string_view pair = text_.substr(position_, 2);
    std::size_t size = 1;
    for (std::string_view known : kPairs) {
        if (pair == known) size = 2;
    }
    token_.text = text_.substr(position_, size);
    if (size == 1 &&
        std::string_view("{}[]()<>,;:@!+-*/%&|^~?=.").find(token_.text) == std::string_view::npos) {
        const auto byte = static_cast<unsigned char>(text_[position_]);
        static constexpr char kDigits[] = "0123456789abcdef";
        fail(std::string("the byte 0x") + kDigits[byte >> 4] + kDigits[byte & 15] +
             " has no meaning in PTX");
    }
    token_.kind = TokenKind::kPunctuation;
    position_ += size;
}

Lexer::Extent Lexer::skip_braces() {
    if (!token_.is("{")) fail_expected("`{`");
    const std::uint32_t first_line = token_.line;
    const char* const base = text_.data();
    const char* const end = base + text_.size();
    const char* at = base + token_begin_;
    std::size_t depth = 0;
    for (;;) {
        while (at < end && !is(*at, kBodyStop)) ++at;
        if (at >= end) throw SyntaxError(first_line, "this `{` has no matching `}`");
        if (*at == '{') {
            ++depth;
        } else if (*at == '}') {
            if (--depth == 0) break;
        } else {
            // A comment or a string, where braces do not count.
            const auto offset = static_cast<std::size_t>(at - base);
            std::size_t skip_to = offset + 1;
            if (*at == '"') {
                const std::size_t close = text_.find_first_of("\"\n", offset + 1);
                skip_to = close == std::string_view::npos ? text_.size() : close + 1;
            } else if (text_.substr(offset, 2) == "//") {
                skip_to = std::min(text_.find('\n', offset), text_.size());
            } else if (text_.substr(offset, 2) == "/*") {
                const std::size_t close = text_.find("*/", offset + 2);
                skip_to = close == std::string_view::npos ? text_.size() : close + 2;
            }
            at = base + skip_to;
            continue;
        }
        ++at;
    }
    const Extent extent{token_begin_, static_cast<std::size_t>(at - base) + 1};
    line_ = first_line +
            static_cast<std::uint32_t>(std::count(base + extent.begin, base + extent.end, '\n'));
    position_ = extent.end;
    advance();
    return extent;
}

void Lexer::skip_line() {
    position_ = std::min(text_.find('\n', token_begin_), text_.size());
    line_ = token_.line;
    advance();
}

void Lexer::recover() {
    // The error may come from the lexer itself: go on from the characters, not from the token.
    const std::size_t stop = text_.find_first_of(";}", token_begin_);
    const std::size_t end = std::min(stop, text_.size());
    line_ = token_.line + static_cast<std::uint32_t>(
                              std::count(text_.begin() + static_cast<std::ptrdiff_t>(token_begin_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    position_ = end < text_.size() && text_[end] == ';' ? end + 1 : end;
    advance();
}

}  // namespace cubar::softgpu::ptx
