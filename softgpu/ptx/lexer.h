// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cubar::softgpu::ptx {

// An error in the text. Thrown inside the front end only; parse_module and parse_body turn it into
// a line of the log.
class SyntaxError : public std::runtime_error {
public:
    SyntaxError(std::uint32_t line, const std::string& reason)
        : std::runtime_error(reason), line_(line) {}
    std::uint32_t line() const { return line_; }

private:
    std::uint32_t line_;
};

enum class TokenKind : std::uint8_t {
    kEnd,
    kIdentifier,   // foo, %r1, $L_1, _
    kDirective,    // .reg, .b32: text without the dot
    kInteger,      // bits; is_unsigned
    kFloat,        // 0f…: bits of a float, is_single; 0d… and decimal: bits of a double
    kString,       // text without the quotes
    kPunctuation,  // one of the operators, one or two characters
};

struct Token {
    TokenKind kind = TokenKind::kEnd;
    bool is_unsigned = false;
    bool is_single = false;
    std::uint32_t line = 1;
    std::string_view text;
    std::uint64_t bits = 0;

    bool is(std::string_view punctuation) const {
        return kind == TokenKind::kPunctuation && text == punctuation;
    }
    bool is_directive(std::string_view name) const {
        return kind == TokenKind::kDirective && text == name;
    }
};

// Splits PTX text into tokens, one ahead. The text must outlive it.
class Lexer {
public:
    Lexer(std::string_view text, std::uint32_t line) : text_(text), line_(line) { advance(); }

    const Token& peek() const { return token_; }
    std::uint32_t line() const { return token_.line; }

    // The current token; moves on.
    Token take();

    // Moves on if the current token is that punctuation, or directive.
    bool accept(std::string_view punctuation);
    bool accept_directive(std::string_view name);

    // Takes a token of that kind or throws SyntaxError.
    void expect(std::string_view punctuation);
    std::string_view expect_identifier(const char* what);
    std::uint64_t expect_integer(const char* what, std::uint64_t limit);
    std::string_view expect_string();

    // The next word glued to the current token, which stays current: for `cvt.rn.f32.s32 %f1` at
    // `cvt`, "rn", then "f32", then "s32". False when there is none left.
    bool take_suffix(std::string_view& word);

    // Skips from the current token, an opening brace, past the matching closing one. Fast: function
    // bodies and debug sections make up nearly all of a module.
    // Returns the text from brace to brace.
    struct Extent {
        std::size_t begin, end;
    };
    Extent skip_braces();

    // Skips to the next line.
    void skip_line();

    bool at_end() const { return position_ >= text_.size(); }

    // After an error: skips past the next `;`, or to a closing brace or the end.
    void recover();

    [[noreturn]] void fail(const std::string& reason) const;
    // "expected X, found `token`".
    [[noreturn]] void fail_expected(std::string_view what) const;

private:
    void advance();
    void skip_blank();
    void lex_number();
    void lex_string();
    void lex_punctuation();
    std::string_view word_from(std::size_t begin);

    std::string_view text_;
    std::size_t position_ = 0;  // behind token_
    std::uint32_t line_;        // at position_
    std::size_t token_begin_ = 0;
    Token token_;
};

// `text` and `.word` in the quotes of error messages, cut to a bearable length.
std::string quoted(std::string_view text);
std::string quoted_word(std::string_view word);

// A token as an error message names it.
std::string describe(const Token& token);

}  // namespace cubar::softgpu::ptx
