// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::ptx {

// Errors as the JIT log shows them: one "line N: reason" per line, at most kMaxErrors of them.
struct Log {
    static constexpr unsigned kMaxErrors = 20;

    std::string text;
    unsigned errors = 0;
    bool newer_version = false;  // the text says that it is of a PTX version not known here

    void add(std::uint32_t line, std::string_view reason);
    bool ok() const { return errors == 0; }
};

// Indexes a module: header directives, module-scope variables with their initialisers, the heads of
// all functions and the extents of their bodies. Takes about the time of reading the text once.
// Returns null, and says why in `log`, if the text is not PTX that this front end knows. The text
// may end in a NUL (as CUDA passes images); what follows the first NUL is ignored.
// Functions and variables keep their indices for the life of the module. Thread-safe.
std::unique_ptr<Module> parse_module(std::string_view text, Log& log);

// Parses and checks the body of module.functions[function], once: later calls return the same body.
// Returns null, and says why in `log`, if the body is in error or the function has none. The caller
// holds a lock over the module (it writes Function::body).
const Body* parse_body(Module& module, std::uint32_t function, Log& log);

// parse_body of every function that is defined; goes on past errors, so that the log names them
// all.
bool parse_bodies(Module& module, Log& log);

}  // namespace cubar::softgpu::ptx
