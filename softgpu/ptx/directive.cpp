// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/directive.h"

#include <limits>

namespace cubar::softgpu::ptx {
namespace {

constexpr std::uint64_t kAnyNumber = std::numeric_limits<std::uint64_t>::max();

// .loc 1 25 3, function_name $L__info_string0, inlined_at 1 12 1
void skip_loc(Lexer& lexer) {
    for (int i = 0; i < 3; ++i) lexer.expect_integer("a number of .loc", kAnyNumber);
    while (lexer.accept(",")) {
        const std::string_view word = lexer.expect_identifier("`function_name` or `inlined_at`");
        if (word == "function_name") {
            lexer.expect_identifier("a label");
            if (lexer.accept("+")) lexer.expect_integer("an offset", kAnyNumber);
        } else {
            for (int i = 0; i < 3; ++i) lexer.expect_integer("a number of .loc", kAnyNumber);
        }
    }
}

// .file 1 "name.cu", 1700000000, 1234
void skip_file(Lexer& lexer) {
    lexer.expect_integer("a file's number", kAnyNumber);
    lexer.expect_string();
    while (lexer.accept(",")) lexer.expect_integer("a number of .file", kAnyNumber);
}

}  // namespace

bool skip_debug_directive(Lexer& lexer, const Token& directive) {
    if (directive.text == "loc") {
        skip_loc(lexer);
    } else if (directive.text == "file") {
        skip_file(lexer);
    } else if (directive.text == "section") {
        if (lexer.peek().kind != TokenKind::kDirective &&
            lexer.peek().kind != TokenKind::kIdentifier) {
            lexer.fail_expected("a section's name");
        }
        lexer.take();
        lexer.skip_braces();
    } else {
        return false;
    }
    return true;
}

}  // namespace cubar::softgpu::ptx
