// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "softgpu/ptx/body_parser.h"
#include "softgpu/ptx/directive.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::ptx {

BodyParser::BodyParser(const Module& module, const Function& function, Log& log)
    : module_(module),
      function_(function),
      log_(log),
      lexer_(std::string_view(module.text)
                 .substr(function.body_begin, function.body_end - function.body_begin),
             function.body_line),
      body_(std::make_unique<Body>()) {}

std::unique_ptr<const Body> BodyParser::parse() {
    const unsigned errors_before = log_.errors;
    try {
        declare_parameters(function_.returns, VariableScope::kReturn);
        declare_parameters(function_.parameters, VariableScope::kParameter);
        lexer_.expect("{");
        while (scopes_.depth() > 0) {
            if (lexer_.peek().kind == TokenKind::kEnd)
                lexer_.fail("the function's body is cut off");
            guarded_statement();
        }
        // After an error a label may be missing only because its statement was skipped.
        if (log_.errors == errors_before) resolve_labels();
    } catch (const SyntaxError& error) {
        log_.add(error.line(), error.what());
    }
    if (log_.errors != errors_before) return nullptr;
    const auto make_unique_list = [](std::vector<std::uint32_t>& list) {
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
    };
    make_unique_list(body_->variables_used);
    make_unique_list(body_->functions_used);
    return std::move(body_);
}

void BodyParser::declare_parameters(const std::vector<Variable>& parameters, VariableScope scope) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const Variable& parameter = parameters[i];
        Symbol symbol;
        if (parameter.register_index != kNoIndex) {
            symbol.index = add_register(parameter.type, parameter.name, kNoIndex);
        } else {
            symbol.kind = SymbolKind::kVariable;
            symbol.scope = scope;
            symbol.index = static_cast<std::uint32_t>(i);
        }
        if (!scopes_.declare(parameter.name, symbol)) {
            throw SyntaxError(parameter.line, quoted(parameter.name) + " is declared twice");
        }
    }
}

// One bad statement does not hide the next: the log shows as many as it holds.
void BodyParser::guarded_statement() {
    try {
        statement();
    } catch (const SyntaxError& error) {
        log_.add(error.line(), error.what());
        if (log_.errors >= Log::kMaxErrors) throw SyntaxError(error.line(), "too many errors");
        recover();
    }
}

// The place where the lexer itself stumbled is skipped too.
void BodyParser::recover() {
    for (;;) {
        try {
            lexer_.recover();
            return;
        } catch (const SyntaxError&) {
            if (lexer_.at_end()) throw;
        }
    }
}

void BodyParser::statement() {
    const Token token = lexer_.peek();
    switch (token.kind) {
        case TokenKind::kDirective:
            directive();
            return;
        case TokenKind::kIdentifier:
            labels_or_instruction();
            return;
        default:
            break;
    }
    if (lexer_.accept("{")) {
        if (scopes_.depth() >= Scopes::kMaxDepth) lexer_.fail("blocks are nested too deeply");
        scopes_.open();
    } else if (token.is("}")) {
        scopes_.close();
        // The last brace ends the text of this body: nothing stands behind it.
        lexer_.take();
    } else if (token.is("@")) {
        instruction();
    } else if (token.is("@@")) {
        lexer_.skip_line();
    } else if (!lexer_.accept(";")) {
        lexer_.fail_expected("an instruction");
    }
}

void BodyParser::directive() {
    const Token token = lexer_.take();
    if (skip_debug_directive(lexer_, token)) return;
    if (token.text == "reg") {
        declare_registers();
    } else if (token.text == "pragma") {
        do {
            lexer_.expect_string();
        } while (lexer_.accept(","));
        lexer_.expect(";");
    } else if (const auto space = space_of(token.text)) {
        declare_variables(*space);
    } else {
        throw SyntaxError(token.line, describe(token) + " has no place in a function's body");
    }
}

std::uint32_t BodyParser::add_register(Type type, std::string_view name, std::uint32_t number) {
    if (body_->registers.size() >= kMaxRegisters) lexer_.fail("too many registers");
    if (number == 0 || number == kNoIndex) body_->register_names.emplace_back(name);
    body_->registers.push_back(
        {type, static_cast<std::uint32_t>(body_->register_names.size() - 1), number});
    return static_cast<std::uint32_t>(body_->registers.size() - 1);
}

void BodyParser::declare_registers() {
    const Variable type = parse_type(lexer_, Space::kReg);
    do {
        const std::string_view name = lexer_.expect_identifier("a register's name");
        if (lexer_.accept("<")) {
            const std::uint64_t count =
                lexer_.expect_integer("the number of registers", kMaxRegisters);
            lexer_.expect(">");
            if (type.vector_width > 1) lexer_.fail("a range of vector registers is not supported");
            const auto first = static_cast<std::uint32_t>(body_->registers.size());
            for (std::uint32_t i = 0; i < count; ++i) add_register(type.type, name, i);
            if (!scopes_.declare_range(name, first, static_cast<std::uint32_t>(count))) {
                lexer_.fail(quoted(name) + " is declared twice");
            }
            continue;
        }
        Symbol symbol;
        symbol.count = type.vector_width;
        symbol.index = static_cast<std::uint32_t>(body_->registers.size());
        if (type.vector_width == 1) {
            add_register(type.type, name, kNoIndex);
        } else {
            symbol.kind = SymbolKind::kVectorRegister;
            static constexpr std::string_view kComponents = "xyzwabcd";
            for (unsigned i = 0; i < type.vector_width; ++i) {
                add_register(type.type, std::string(name) + '.' + kComponents[i], kNoIndex);
            }
        }
        if (!scopes_.declare(name, symbol)) {
            lexer_.fail(quoted(name) + " is declared twice");
        }
    } while (lexer_.accept(","));
    lexer_.expect(";");
}

void BodyParser::declare_variables(Space space) {
    if (space != Space::kLocal && space != Space::kShared && space != Space::kParam) {
        lexer_.fail("a ." + std::string(to_string(space)) +
                    " variable is declared outside of functions only");
    }
    const Variable type = parse_type(lexer_, space);
    do {
        Variable variable = type;
        variable.line = lexer_.line();
        // The scopes keep this view of the text: a string inside a growing vector would move.
        const std::string_view name = lexer_.expect_identifier("the variable's name");
        variable.name = name;
        if (lexer_.accept("<")) lexer_.fail("only registers are declared as a range");
        std::vector<std::uint64_t> dimensions;
        parse_dimensions(lexer_, variable, dimensions);
        if (lexer_.peek().is("=")) lexer_.fail("this variable cannot have an initial value");
        if (variable.is_unsized) lexer_.fail("this variable needs a size");
        const auto place_in = [&](std::uint64_t& size, std::uint32_t& align) {
            place(variable, size);
            align = std::max(align, variable.align);
            if (size > kMaxVariableSize) lexer_.fail("the function's variables are too large");
        };
        if (space == Space::kLocal) place_in(body_->local_size, body_->local_align);
        if (space == Space::kShared) place_in(body_->shared_size, body_->shared_align);
        if (space == Space::kParam) place_in(body_->param_size, body_->param_align);
        Symbol symbol;
        symbol.kind = SymbolKind::kVariable;
        symbol.index = static_cast<std::uint32_t>(body_->variables.size());
        body_->variables.push_back(std::move(variable));
        if (!scopes_.declare(name, symbol)) {
            lexer_.fail(quoted(name) + " is declared twice");
        }
    } while (lexer_.accept(","));
    lexer_.expect(";");
}

std::string Body::register_name(std::uint32_t index) const {
    const Register& reg = registers[index];
    std::string name = register_names[reg.range];
    if (reg.number != kNoIndex) name += std::to_string(reg.number);
    return name;
}

const Body* parse_body(Module& module, std::uint32_t function, Log& log) {
    Function& target = module.functions[function];
    if (!target.is_defined) {
        log.add(target.line, quoted(target.name) + " is declared here but not defined");
        return nullptr;
    }
    if (!target.body) target.body = BodyParser(module, target, log).parse();
    return target.body.get();
}

bool parse_bodies(Module& module, Log& log) {
    for (std::uint32_t i = 0; i < module.functions.size(); ++i) {
        if (log.errors >= Log::kMaxErrors) break;
        if (module.functions[i].is_defined) parse_body(module, i, log);
    }
    return log.ok();
}

}  // namespace cubar::softgpu::ptx
