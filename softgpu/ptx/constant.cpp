// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/constant.h"

#include <bit>
#include <limits>

namespace cubar::softgpu::ptx {
namespace {

using Kind = Constant::Kind;

constexpr unsigned kMaxDepth = 64;

Constant make(double value) {
    return {Kind::kDouble, std::bit_cast<std::uint64_t>(value)};
}
Constant make(bool value) {
    return {Kind::kSigned, value ? 1u : 0u};
}

int precedence(std::string_view op) {
    if (op == "||") return 1;
    if (op == "&&") return 2;
    if (op == "|") return 3;
    if (op == "^") return 4;
    if (op == "&") return 5;
    if (op == "==" || op == "!=") return 6;
    if (op == "<" || op == ">" || op == "<=" || op == ">=") return 7;
    if (op == "<<" || op == ">>") return 8;
    if (op == "+" || op == "-") return 9;
    if (op == "*" || op == "/" || op == "%") return 10;
    return 0;
}

class Evaluator {
public:
    explicit Evaluator(Lexer& lexer) : lexer_(lexer) {}

    Constant conditional() {
        const Depth depth(*this);
        const Constant condition = binary(1);
        if (!lexer_.accept("?")) return condition;
        const Constant yes = conditional();
        lexer_.expect(":");
        const Constant no = conditional();
        return truth(condition) ? yes : no;
    }

private:
    // Bounds the recursion: the text is not ours.
    class Depth {
    public:
        explicit Depth(Evaluator& evaluator) : depth_(evaluator.depth_) {
            if (++depth_ > kMaxDepth) evaluator.lexer_.fail("this expression is nested too deeply");
        }
        ~Depth() { --depth_; }
        Depth(const Depth&) = delete;
        Depth& operator=(const Depth&) = delete;

    private:
        unsigned& depth_;
    };

    static bool truth(const Constant& value) {
        return value.is_float() ? value.as_double() != 0 : value.bits != 0;
    }

    Constant binary(int least) {
        Constant left = unary();
        for (;;) {
            const Token op = lexer_.peek();
            const int level = op.kind == TokenKind::kPunctuation ? precedence(op.text) : 0;
            if (level < least || level == 0) return left;
            lexer_.take();
            const Depth depth(*this);
            left = apply(op, left, binary(level + 1));
        }
    }

    Constant apply(const Token& op, const Constant& left, const Constant& right) {
        if (left.is_float() || right.is_float()) return apply_float(op, left, right);
        const bool is_unsigned = left.kind == Kind::kUnsigned || right.kind == Kind::kUnsigned;
        const std::uint64_t a = left.bits;
        const std::uint64_t b = right.bits;
        const auto sa = static_cast<std::int64_t>(a);
        const auto sb = static_cast<std::int64_t>(b);
        const auto number = [&](std::uint64_t bits) {
            return Constant{is_unsigned ? Kind::kUnsigned : Kind::kSigned, bits};
        };
        const auto shifted = [&](std::uint64_t bits) { return Constant{left.kind, bits}; };
        const std::string_view t = op.text;
        if (t == "||") return make(a != 0 || b != 0);
        if (t == "&&") return make(a != 0 && b != 0);
        if (t == "|") return number(a | b);
        if (t == "^") return number(a ^ b);
        if (t == "&") return number(a & b);
        if (t == "==") return make(a == b);
        if (t == "!=") return make(a != b);
        if (t == "<") return make(is_unsigned ? a < b : sa < sb);
        if (t == ">") return make(is_unsigned ? a > b : sa > sb);
        if (t == "<=") return make(is_unsigned ? a <= b : sa <= sb);
        if (t == ">=") return make(is_unsigned ? a >= b : sa >= sb);
        if (t == "<<") return shifted(b > 63 ? 0 : a << b);
        if (t == ">>") {
            if (left.kind == Kind::kUnsigned) return shifted(b > 63 ? 0 : a >> b);
            return shifted(static_cast<std::uint64_t>(sa >> (b > 63 ? 63 : b)));
        }
        if (t == "+") return number(a + b);
        if (t == "-") return number(a - b);
        if (t == "*") return number(a * b);
        if (b == 0) throw SyntaxError(op.line, "division by zero in a constant expression");
        if (is_unsigned) return number(t == "/" ? a / b : a % b);
        // INT64_MIN / -1 overflows in C++; in two's complement it is INT64_MIN, remainder 0.
        if (sb == -1) return number(t == "/" ? 0 - a : 0);
        return number(static_cast<std::uint64_t>(t == "/" ? sa / sb : sa % sb));
    }

    static Constant apply_float(const Token& op, const Constant& left, const Constant& right) {
        if (!left.is_float() || !right.is_float()) {
            throw SyntaxError(op.line,
                              "integers and floating-point numbers do not mix in a constant "
                              "expression");
        }
        const double a = left.as_double();
        const double b = right.as_double();
        const std::string_view t = op.text;
        if (t == "+") return make(a + b);
        if (t == "-") return make(a - b);
        if (t == "*") return make(a * b);
        if (t == "/") return make(a / b);
        if (t == "==") return make(a == b);
        if (t == "!=") return make(a != b);
        if (t == "<") return make(a < b);
        if (t == ">") return make(a > b);
        if (t == "<=") return make(a <= b);
        if (t == ">=") return make(a >= b);
        throw SyntaxError(op.line, quoted(t) + " does not apply to floating-point numbers");
    }

    Constant unary() {
        const Depth depth(*this);
        const Token token = lexer_.take();
        if (token.kind == TokenKind::kInteger) {
            return {token.is_unsigned ? Kind::kUnsigned : Kind::kSigned, token.bits};
        }
        if (token.kind == TokenKind::kFloat) {
            return {token.is_single ? Kind::kSingle : Kind::kDouble, token.bits};
        }
        if (token.kind == TokenKind::kIdentifier && token.text == "WARP_SZ") {
            return {Kind::kSigned, 32};
        }
        if (token.is("-")) return negate(unary());
        if (token.is("+")) return unary();
        if (token.is("!")) return make(!truth(unary()));
        if (token.is("~")) {
            Constant value = unary();
            if (value.is_float()) {
                throw SyntaxError(token.line, "`~` does not apply to floating-point numbers");
            }
            value.bits = ~value.bits;
            return value;
        }
        if (token.is("(")) {
            if (lexer_.peek().kind == TokenKind::kDirective) return cast();
            const Constant value = conditional();
            lexer_.expect(")");
            return value;
        }
        throw SyntaxError(token.line, "expected a constant, found " + describe(token));
    }

    Constant cast() {
        const Token type = lexer_.take();
        lexer_.expect(")");
        Constant value = unary();
        if (type.text != "s64" && type.text != "u64") {
            throw SyntaxError(type.line, "a constant can be cast to .s64 and .u64 only");
        }
        if (value.is_float()) {
            throw SyntaxError(type.line, "a floating-point constant cannot be cast");
        }
        value.kind = type.text == "u64" ? Kind::kUnsigned : Kind::kSigned;
        return value;
    }

    static Constant negate(Constant value) {
        if (value.kind == Kind::kSingle) {
            value.bits ^= 0x80000000u;
        } else if (value.kind == Kind::kDouble) {
            value.bits ^= std::uint64_t{1} << 63;
        } else {
            value.bits = 0 - value.bits;
        }
        return value;
    }

    Lexer& lexer_;
    unsigned depth_ = 0;
};

}  // namespace

double Constant::as_double() const {
    if (kind == Kind::kSingle) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    return std::bit_cast<double>(bits);
}

bool begins_constant(const Token& token) {
    switch (token.kind) {
        case TokenKind::kInteger:
        case TokenKind::kFloat:
            return true;
        case TokenKind::kIdentifier:
            return token.text == "WARP_SZ";
        case TokenKind::kPunctuation:
            return token.is("-") || token.is("+") || token.is("~") || token.is("!") ||
                   token.is("(");
        default:
            return false;
    }
}

Constant parse_constant(Lexer& lexer) {
    return Evaluator(lexer).conditional();
}

bool convert(const Constant& constant, Type type, std::uint64_t& bits) {
    const unsigned width = bits_of(type);
    bits = constant.bits;
    if (constant.is_float()) {
        if (type == Type::kF32) {
            if (constant.kind == Kind::kDouble) {
                bits = std::bit_cast<std::uint32_t>(static_cast<float>(constant.as_double()));
            }
        } else if (type == Type::kF64) {
            if (constant.kind == Kind::kSingle) {
                bits = std::bit_cast<std::uint64_t>(constant.as_double());
            }
        } else if (!is_bits(type) || width != (constant.kind == Kind::kSingle ? 32u : 64u)) {
            return false;
        }
    } else if (type == Type::kF32 || type == Type::kF64) {
        return false;
    }
    if (type == Type::kPred) {
        bits = bits != 0 ? 1 : 0;
    } else if (width < 64) {
        bits &= (std::uint64_t{1} << width) - 1;
    }
    return true;
}

}  // namespace cubar::softgpu::ptx
