// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/body_parser.h"
#include "softgpu/ptx/check.h"
#include "softgpu/ptx/constant.h"
#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

// .x .y .z .w, or .r .g .b .a; -1 for anything else.
int component_of(std::string_view word) {
    if (word.size() != 1) return -1;
    static constexpr std::string_view kNames = "xyzwrgba";
    const std::size_t at = kNames.find(word.front());
    return at == std::string_view::npos ? -1 : static_cast<int>(at % 4);
}

// "b3", "h1", "h10", "b7610" of video instructions.
bool parse_select(std::string_view word, Operand& operand) {
    if (word.size() < 2 || word.size() > 5 || (word[0] != 'b' && word[0] != 'h')) return false;
    std::uint16_t select = 0;
    for (char digit : word.substr(1)) {
        if (digit < '0' || digit > '7') return false;
        select = static_cast<std::uint16_t>(select << 4 | (digit - '0'));
    }
    operand.select_unit = word[0];
    operand.select = select;
    return true;
}

}  // namespace

Operand BodyParser::parse_operand(unsigned depth) {
    if (depth > kMaxOperandDepth) lexer_.fail("operands are nested too deeply");
    const Token token = lexer_.peek();
    if (token.is("{")) return parse_list("}", OperandKind::kVector, depth);
    if (token.is("[")) return parse_brackets(depth);
    if (token.is("!")) {
        lexer_.take();
        if (lexer_.peek().kind == TokenKind::kIdentifier && lexer_.peek().text != "WARP_SZ") {
            Operand operand = parse_name();
            operand.negated = true;
            return operand;
        }
        Operand operand = parse_immediate();
        operand.value = operand.value == 0 ? 1 : 0;
        return operand;
    }
    if (depth == 0 && token.is("-")) {
        Lexer ahead = lexer_;
        ahead.take();
        if (ahead.peek().kind == TokenKind::kIdentifier && ahead.peek().text != "WARP_SZ") {
            lexer_.take();
            Operand operand = parse_name();
            operand.minus = true;
            return operand;
        }
    }
    if (begins_constant(token)) return parse_immediate();
    if (token.kind == TokenKind::kIdentifier) return parse_name();
    lexer_.fail_expected("an operand");
}

// `{a, b}` or `(a, b)`; the opening one is the current token.
Operand BodyParser::parse_list(std::string_view close, OperandKind kind, unsigned depth) {
    Operand list;
    list.kind = kind;
    lexer_.take();
    if (lexer_.accept(close)) return list;
    do {
        list.elements.push_back(parse_operand(depth + 1));
        if (list.elements.size() > kMaxElements) lexer_.fail("this list is too long");
    } while (lexer_.accept(","));
    lexer_.expect(close);
    return list;
}

Operand BodyParser::parse_immediate() {
    const Constant constant = parse_constant(lexer_);
    Operand operand;
    operand.kind = OperandKind::kImmediate;
    operand.value = constant.bits;
    switch (constant.kind) {
        case Constant::Kind::kSigned:
            operand.type = Type::kS64;
            break;
        case Constant::Kind::kUnsigned:
            operand.type = Type::kU64;
            break;
        case Constant::Kind::kSingle:
            operand.type = Type::kF32;
            break;
        case Constant::Kind::kDouble:
            operand.type = Type::kF64;
            break;
    }
    return operand;
}

// `+8` or `-8` after a base, or nothing.
std::uint64_t BodyParser::parse_offset() {
    if (!lexer_.peek().is("+") && !lexer_.peek().is("-")) return 0;
    const Constant offset = parse_constant(lexer_);
    if (offset.is_float()) lexer_.fail("an offset is an integer");
    return offset.bits;
}

// `[base + offset]`, or `[a, {b, c}]` of textures and tensors.
Operand BodyParser::parse_brackets(unsigned depth) {
    lexer_.take();
    Operand address;
    address.kind = OperandKind::kAddress;
    const std::uint32_t line = lexer_.line();
    if (begins_constant(lexer_.peek())) {
        address.value = parse_immediate().value;
    } else {
        Operand base = parse_operand(depth + 1);
        if (base.kind == OperandKind::kRegister && !base.negated) {
            address.base = AddressBase::kRegister;
            address.index = base.index;
            address.value = parse_offset();
        } else if (base.kind == OperandKind::kVariable) {
            address.base = AddressBase::kVariable;
            address.scope = base.scope;
            address.index = base.index;
            address.value = base.value;
        } else if (base.kind == OperandKind::kLabel) {
            throw SyntaxError(line, "unknown symbol " + quoted(scopes_.reference(base.index).name));
        } else if (base.kind == OperandKind::kVector) {
            address = std::move(base);
        } else {
            throw SyntaxError(line, "this is not the base of an address");
        }
    }
    if (lexer_.peek().is(",")) {
        Operand tuple;
        tuple.kind = OperandKind::kTuple;
        tuple.elements.push_back(std::move(address));
        while (lexer_.accept(",")) {
            tuple.elements.push_back(parse_operand(depth + 1));
            if (tuple.elements.size() > kMaxElements) lexer_.fail("this list is too long");
        }
        address = std::move(tuple);
    }
    lexer_.expect("]");
    return address;
}

Operand BodyParser::variable_operand(VariableScope scope, std::uint32_t index) {
    Operand operand;
    operand.kind = OperandKind::kVariable;
    operand.scope = scope;
    operand.index = index;
    if (scope == VariableScope::kModule) body_->variables_used.push_back(index);
    if (lexer_.peek().is("[")) lexer_.fail("write the byte offset, `symbol+4`, not `symbol[1]`");
    operand.value = parse_offset();
    return operand;
}

Operand BodyParser::special_operand(std::string_view name, std::string_view word,
                                    std::uint32_t line) {
    const auto special = find_special(name);
    if (!special) {
        throw SyntaxError(line, "unknown register " + quoted(name));
    }
    Operand operand;
    operand.kind = OperandKind::kSpecial;
    operand.special = special->special;
    operand.component = special->component;
    if (is_vector(special->special)) {
        const int component = word.empty() ? 0 : component_of(word);
        if (component < 0) {
            throw SyntaxError(line, std::string(name) + " has no component ." + std::string(word));
        }
        operand.component = static_cast<std::uint8_t>(component);
        if (word.empty()) {
            Operand vector;
            vector.kind = OperandKind::kVector;
            for (std::uint8_t i = 0; i < 4; ++i) {
                operand.component = i;
                vector.elements.push_back(operand);
            }
            return vector;
        }
    } else if (!word.empty()) {
        throw SyntaxError(line, std::string(name) + " has no components");
    }
    return operand;
}

void BodyParser::parse_component(Operand& operand, std::string_view word, const Symbol* symbol,
                                 std::uint32_t line) {
    if (symbol->kind == SymbolKind::kVectorRegister) {
        const int component = component_of(word);
        if (component >= 0 && static_cast<std::uint32_t>(component) < symbol->count) {
            operand.index = symbol->index + static_cast<std::uint32_t>(component);
            return;
        }
    } else if (parse_select(word, operand)) {
        return;
    }
    throw SyntaxError(line, quoted_word(word) + " selects no part of it");
}

Operand BodyParser::parse_name() {
    const Token token = lexer_.peek();
    std::string_view word;
    const bool has_word = lexer_.take_suffix(word);
    const Symbol* symbol = token.text == "_" ? nullptr : scopes_.find(token.text);
    Operand operand;
    if (symbol && symbol->kind != SymbolKind::kVariable) {
        operand.kind = OperandKind::kRegister;
        operand.index = symbol->index;
        if (has_word) {
            parse_component(operand, word, symbol, token.line);
        } else if (symbol->kind == SymbolKind::kVectorRegister) {
            Operand vector;
            vector.kind = OperandKind::kVector;
            for (std::uint32_t i = 0; i < symbol->count; ++i) {
                operand.index = symbol->index + i;
                vector.elements.push_back(operand);
            }
            operand = std::move(vector);
        }
        lexer_.take();
        return operand;
    }
    if (!symbol && token.text.front() == '%') {
        operand = special_operand(token.text, word, token.line);
        lexer_.take();
        return operand;
    }
    if (has_word) throw SyntaxError(token.line, quoted_word(word) + " has no place here");
    lexer_.take();
    if (token.text == "_") return operand;
    if (symbol) return variable_operand(symbol->scope, symbol->index);
    if (const std::uint32_t index = module_.find_variable(token.text); index != kNoIndex) {
        return variable_operand(VariableScope::kModule, index);
    }
    if (const std::uint32_t index = module_.find_function(token.text); index != kNoIndex) {
        operand.kind = OperandKind::kFunction;
        operand.index = index;
        body_->functions_used.push_back(index);
        return operand;
    }
    operand.kind = OperandKind::kLabel;
    operand.index = scopes_.refer(token.text, token.line);
    return operand;
}

}  // namespace cubar::softgpu::ptx
