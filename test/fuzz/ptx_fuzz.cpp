// SPDX-License-Identifier: Apache-2.0
// Any text: the front end reads it or says why not, and what it hands out is consistent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "softgpu/ptx/parse.h"

namespace ptx = cubar::softgpu::ptx;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void check_operand(const ptx::Module& module, const ptx::Body& body, const ptx::Operand& operand) {
    using Kind = ptx::OperandKind;
    switch (operand.kind) {
        case Kind::kRegister:
            require(operand.index < body.registers.size());
            break;
        case Kind::kFunction:
            require(operand.index < module.functions.size());
            break;
        case Kind::kLabel:
            require(operand.index < body.labels.size());
            require(body.labels[operand.index].target <= body.code.size());
            break;
        case Kind::kTargets:
            require(operand.index < body.targets.size());
            break;
        case Kind::kPrototype:
            require(operand.index < body.prototypes.size());
            break;
        case Kind::kAddress:
            if (operand.base == ptx::AddressBase::kRegister) {
                require(operand.index < body.registers.size());
            }
            break;
        default:
            break;
    }
    for (const ptx::Operand& element : operand.elements) check_operand(module, body, element);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    ptx::Log log;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto module = ptx::parse_module(text, log);
    require((module != nullptr) == log.ok());
    if (!module) return 0;
    const bool ok = ptx::parse_bodies(*module, log);
    for (const ptx::Function& function : module->functions) {
        if (!function.body) {
            require(!function.is_defined || !ok);
            continue;
        }
        const ptx::Body& body = *function.body;
        for (const ptx::Instruction& instruction : body.code) {
            for (const ptx::Operand& operand : instruction.operands) {
                check_operand(*module, body, operand);
            }
        }
        for (std::uint32_t i = 0; i < body.registers.size(); ++i) {
            require(!body.register_name(i).empty());
        }
    }
    return 0;
}
