// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "softgpu/ptx/ast.h"
#include "softgpu/ptx/declaration.h"
#include "softgpu/ptx/lexer.h"
#include "softgpu/ptx/parse.h"
#include "softgpu/ptx/scope.h"

namespace cubar::softgpu::ptx {

// Parses one function's body. Used once.
class BodyParser {
public:
    BodyParser(const Module& module, const Function& function, Log& log);

    // Null when it logged an error.
    std::unique_ptr<const Body> parse();

private:
    static constexpr std::uint32_t kMaxRegisters = 1u << 20;
    static constexpr std::size_t kMaxElements = 256;
    static constexpr unsigned kMaxOperandDepth = 4;

    void declare_parameters(const std::vector<Variable>& parameters, VariableScope scope);
    void guarded_statement();
    void recover();
    void statement();
    void directive();
    std::uint32_t add_register(Type type, std::string_view name, std::uint32_t number);
    void declare_registers();
    void declare_variables(Space space);

    // instruction.cpp
    void labels_or_instruction();
    void define_label(std::string_view name, std::uint32_t line);
    void define_targets(std::string_view name, std::uint32_t line, bool functions);
    void define_prototype(std::string_view name, std::uint32_t line);
    void instruction();
    void parse_guard(Instruction& instruction);
    void refuse_unknown_symbols(const Instruction& instruction) const;
    void parse_call(Instruction& instruction);
    void resolve_labels();
    void check_indirect_call(Instruction& instruction);

    // operand.cpp
    Operand parse_operand(unsigned depth);
    Operand parse_list(std::string_view close, OperandKind kind, unsigned depth);
    Operand parse_brackets(unsigned depth);
    Operand parse_name();
    Operand parse_immediate();
    void parse_component(Operand& operand, std::string_view word, const Symbol* symbol,
                         std::uint32_t line);
    std::uint64_t parse_offset();
    Operand variable_operand(VariableScope scope, std::uint32_t index);
    Operand special_operand(std::string_view name, std::string_view word, std::uint32_t line);

    const Module& module_;
    const Function& function_;
    Log& log_;
    Lexer lexer_;
    Scopes scopes_;
    std::unique_ptr<Body> body_;
    std::vector<bool> target_lists_are_functions_;  // parallel to Body::targets
    // Calls whose .callprototype may follow: their lists are checked at the end.
    std::vector<std::uint32_t> indirect_calls_;
};

}  // namespace cubar::softgpu::ptx
