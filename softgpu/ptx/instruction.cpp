// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/body_parser.h"
#include "softgpu/ptx/check.h"
#include "softgpu/ptx/decode.h"
#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {

void BodyParser::labels_or_instruction() {
    const Token token = lexer_.peek();
    std::string_view word;
    // Only an opcode has words glued to it: what has none may be a label.
    Lexer ahead = lexer_;
    if (ahead.take_suffix(word)) {
        instruction();
        return;
    }
    ahead.take();
    if (!ahead.accept(":")) {
        instruction();
        return;
    }
    lexer_ = ahead;
    if (lexer_.accept_directive("branchtargets")) {
        define_targets(token.text, token.line, false);
    } else if (lexer_.accept_directive("calltargets")) {
        define_targets(token.text, token.line, true);
    } else if (lexer_.accept_directive("callprototype")) {
        define_prototype(token.text, token.line);
    } else {
        define_label(token.text, token.line);
    }
}

void BodyParser::define_label(std::string_view name, std::uint32_t line) {
    const auto index = static_cast<std::uint32_t>(body_->labels.size());
    if (!scopes_.define(name, {Scopes::Mark::kLabel, index})) {
        throw SyntaxError(line, "the label " + quoted(name) + " is defined twice");
    }
    body_->labels.push_back({std::string(name), static_cast<std::uint32_t>(body_->code.size())});
}

void BodyParser::define_targets(std::string_view name, std::uint32_t line, bool functions) {
    std::vector<std::uint32_t> targets;
    do {
        const std::uint32_t at = lexer_.line();
        const std::string_view target = lexer_.expect_identifier("a target");
        if (!functions) {
            targets.push_back(scopes_.refer(target, at));
            continue;
        }
        const std::uint32_t index = module_.find_function(target);
        if (index == kNoIndex) {
            throw SyntaxError(at, "unknown function " + quoted(target));
        }
        body_->functions_used.push_back(index);
        targets.push_back(index);
    } while (lexer_.accept(","));
    lexer_.expect(";");
    const auto index = static_cast<std::uint32_t>(body_->targets.size());
    if (!scopes_.define(name, {Scopes::Mark::kTargets, index})) {
        throw SyntaxError(line, "the label " + quoted(name) + " is defined twice");
    }
    body_->targets.push_back(std::move(targets));
    target_lists_are_functions_.push_back(functions);
}

void BodyParser::define_prototype(std::string_view name, std::uint32_t line) {
    Prototype prototype;
    std::uint64_t size = 0;
    if (lexer_.peek().is("(")) prototype.returns = parse_parameters(lexer_, false, 0, size);
    lexer_.expect_identifier("`_`");
    size = 0;
    if (lexer_.peek().is("(")) prototype.parameters = parse_parameters(lexer_, false, 0, size);
    while (lexer_.peek().kind == TokenKind::kDirective) {
        if (lexer_.accept_directive("noreturn")) {
            prototype.no_return = true;
        } else if (lexer_.accept_directive("abi_preserve") ||
                   lexer_.accept_directive("abi_preserve_control")) {
            lexer_.expect_integer("a number of registers", 4096);
        } else {
            lexer_.fail_expected("`;`");
        }
    }
    lexer_.expect(";");
    const auto index = static_cast<std::uint32_t>(body_->prototypes.size());
    if (!scopes_.define(name, {Scopes::Mark::kPrototype, index})) {
        throw SyntaxError(line, "the label " + quoted(name) + " is defined twice");
    }
    body_->prototypes.push_back(std::move(prototype));
}

void BodyParser::parse_guard(Instruction& instruction) {
    if (!lexer_.accept("@")) return;
    instruction.negate_predicate = lexer_.accept("!");
    const Operand guard = parse_operand(0);
    if (guard.kind != OperandKind::kRegister || guard.negated ||
        body_->registers[guard.index].type != Type::kPred) {
        throw SyntaxError(instruction.line, "the guard after `@` must be a predicate register");
    }
    instruction.predicate = guard.index;
}

void BodyParser::instruction() {
    Instruction instruction;
    instruction.line = lexer_.line();
    parse_guard(instruction);
    instruction.line = lexer_.line();
    const Token name = lexer_.peek();
    if (name.kind != TokenKind::kIdentifier) lexer_.fail_expected("an instruction");
    const auto opcode = find_opcode(name.text);
    if (!opcode) {
        throw SyntaxError(name.line, "unknown instruction " + quoted(name.text));
    }
    instruction.opcode = *opcode;
    std::string_view word;
    while (lexer_.take_suffix(word)) {
        if (!add_word(instruction, word)) {
            throw SyntaxError(name.line, std::string(name.text) + ": unknown modifier ." +
                                             std::string(word.substr(0, 80)));
        }
    }
    lexer_.take();
    if (instruction.opcode == Opcode::kCall) {
        parse_call(instruction);
    } else {
        bool paired = false;
        if (!lexer_.peek().is(";")) {
            instruction.operands.push_back(parse_operand(0));
            if (lexer_.accept("|")) {
                paired = true;
                instruction.operands.push_back(parse_operand(0));
            }
            while (lexer_.accept(",")) {
                instruction.operands.push_back(parse_operand(0));
                if (instruction.operands.size() > kMaxElements) lexer_.fail("too many operands");
            }
        }
        refuse_unknown_symbols(instruction);
        check_instruction(instruction, paired, {module_, function_, *body_});
    }
    lexer_.expect(";");
    body_->code.push_back(std::move(instruction));
}

// A name that is nothing else is taken for a label, and only branches have labels.
void BodyParser::refuse_unknown_symbols(const Instruction& instruction) const {
    if (instruction.opcode == Opcode::kBra || instruction.opcode == Opcode::kBrx) return;
    const auto refuse = [&](const Operand& operand) {
        if (operand.kind != OperandKind::kLabel) return;
        const Scopes::Reference& reference = scopes_.reference(operand.index);
        throw SyntaxError(reference.line, "unknown symbol " + quoted(reference.name));
    };
    for (const Operand& operand : instruction.operands) {
        refuse(operand);
        for (const Operand& element : operand.elements) refuse(element);
    }
}

// call{.uni} {(results),} callee {, (arguments)} {, prototype or targets};
void BodyParser::parse_call(Instruction& instruction) {
    for (Modifier word : instruction.modifiers) {
        if (word != Modifier::kUni) {
            throw SyntaxError(instruction.line,
                              "call has no modifier ." + std::string(to_string(word)));
        }
    }
    if (instruction.type_count != 0) throw SyntaxError(instruction.line, "call has no type");
    Operand results;
    results.kind = OperandKind::kVector;
    if (lexer_.peek().is("(")) {
        results = parse_list(")", OperandKind::kVector, 0);
        lexer_.expect(",");
    }
    const std::uint32_t line = lexer_.line();
    Operand callee = parse_operand(0);
    Operand arguments;
    arguments.kind = OperandKind::kVector;
    bool has_label = false;
    if (lexer_.accept(",")) {
        if (lexer_.peek().is("(")) {
            arguments = parse_list(")", OperandKind::kVector, 0);
            has_label = lexer_.accept(",");
        } else {
            has_label = true;
        }
    }
    instruction.operands.push_back(std::move(results));
    instruction.operands.push_back(std::move(callee));
    instruction.operands.push_back(std::move(arguments));
    const Operand& target = instruction.operands[1];
    if (has_label) {
        instruction.operands.push_back(parse_operand(0));
        if (instruction.operands[3].kind != OperandKind::kLabel) {
            throw SyntaxError(line,
                              "call: the last operand is the label of a prototype or target list");
        }
    }
    if (instruction.operands[1].kind == OperandKind::kFunction) {
        if (has_label) throw SyntaxError(line, "call: a direct call takes no prototype");
        const Function& function = module_.functions[target.index];
        if (function.kind == FunctionKind::kEntry) {
            throw SyntaxError(line, "call: " + quoted(function.name) + " is a kernel");
        }
        const CheckContext context{module_, function_, *body_};
        check_call_list(instruction.operands[0], function.returns, "result", instruction, context);
        check_call_list(instruction.operands[2], function.parameters, "argument", instruction,
                        context);
        return;
    }
    if (target.kind == OperandKind::kLabel) {
        throw SyntaxError(line,
                          "call: unknown function " + quoted(scopes_.reference(target.index).name));
    }
    if (target.kind != OperandKind::kRegister ||
        bits_of(body_->registers[target.index].type) != module_.address_size) {
        throw SyntaxError(line,
                          "call: the callee must be a function, or a register that holds its "
                          "address");
    }
    if (!has_label) throw SyntaxError(line, "call: an indirect call needs a prototype");
    instruction.operands[1].type = module_.address_size == 64 ? Type::kB64 : Type::kB32;
    indirect_calls_.push_back(static_cast<std::uint32_t>(body_->code.size()));
}

void BodyParser::check_indirect_call(Instruction& instruction) {
    const Operand& label = instruction.operands[3];
    const CheckContext context{module_, function_, *body_};
    const std::vector<Variable>* returns = nullptr;
    const std::vector<Variable>* parameters = nullptr;
    if (label.kind == OperandKind::kPrototype) {
        returns = &body_->prototypes[label.index].returns;
        parameters = &body_->prototypes[label.index].parameters;
    } else {
        const Function& first = module_.functions[body_->targets[label.index].front()];
        returns = &first.returns;
        parameters = &first.parameters;
    }
    check_call_list(instruction.operands[0], *returns, "result", instruction, context);
    check_call_list(instruction.operands[2], *parameters, "argument", instruction, context);
}

// Turns the numbers of references into indices of labels, lists and prototypes.
void BodyParser::resolve_labels() {
    using Mark = Scopes::Mark;
    const unsigned errors_before = log_.errors;
    const auto resolve = [&](std::uint32_t number) {
        const Scopes::Reference& reference = scopes_.reference(number);
        if (reference.definition.mark == Mark::kNone) {
            throw SyntaxError(reference.line, "unknown symbol " + quoted(reference.name));
        }
        return reference.definition;
    };
    const auto guarded = [&](const auto& action) {
        try {
            action();
        } catch (const SyntaxError& error) {
            log_.add(error.line(), error.what());
        }
    };
    for (std::size_t i = 0; i < body_->targets.size(); ++i) {
        if (target_lists_are_functions_[i]) continue;
        for (std::uint32_t& target : body_->targets[i]) {
            guarded([&] {
                const Scopes::Definition definition = resolve(target);
                if (definition.mark != Mark::kLabel) {
                    throw SyntaxError(scopes_.reference(target).line, "a branch target is a label");
                }
                target = definition.index;
            });
        }
    }
    const auto resolve_operand = [&](const Instruction& instruction, Operand& operand) {
        if (operand.kind != OperandKind::kLabel) return;
        const Scopes::Definition definition = resolve(operand.index);
        operand.index = definition.index;
        const bool of_functions =
            definition.mark == Mark::kTargets && target_lists_are_functions_[definition.index];
        bool fits = false;
        switch (instruction.opcode) {
            case Opcode::kBra:
                fits = definition.mark == Mark::kLabel;
                break;
            case Opcode::kBrx:
                fits = definition.mark == Mark::kTargets && !of_functions;
                break;
            case Opcode::kCall:
                fits = definition.mark == Mark::kPrototype || of_functions;
                break;
            default:
                break;
        }
        if (!fits) throw SyntaxError(instruction.line, "this label is not of the kind needed here");
        if (definition.mark == Mark::kTargets) operand.kind = OperandKind::kTargets;
        if (definition.mark == Mark::kPrototype) operand.kind = OperandKind::kPrototype;
    };
    for (Instruction& instruction : body_->code) {
        guarded([&] {
            for (Operand& operand : instruction.operands) {
                resolve_operand(instruction, operand);
                for (Operand& element : operand.elements) resolve_operand(instruction, element);
            }
        });
    }
    if (log_.errors != errors_before) return;
    for (std::uint32_t index : indirect_calls_) {
        guarded([&] { check_indirect_call(body_->code[index]); });
    }
}

}  // namespace cubar::softgpu::ptx
