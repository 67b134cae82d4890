// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::ptx {

inline const std::string kHeader = ".version 9.0\n.target sm_90a\n.address_size 64\n";

// A module whose kernel `k`, the last function, has this body; registers of every kind, variables
// and functions to refer to are declared around it. The body's first line is line kBodyLine.
inline constexpr unsigned kBodyLine = 14;
inline std::string with_body(const std::string& body) {
    return kHeader +
           ".shared .align 16 .b32 sv[64];\n"
           ".global .align 16 .b32 gv[64];\n"
           ".func (.reg .u32 o) fn(.reg .u32 a) { mov.u32 o, a; ret; }\n"
           ".func (.param .b64 o) fp(.param .b32 a, .param .align 8 .b8 b[16]) { ret; }\n"
           ".visible .entry k2() { ret; }\n"
           ".visible .entry k(.param .u32 kp) {\n"
           ".reg .b32 %r<12>; .reg .f32 %f<9>; .reg .f64 %g<9>; .reg .b16 %h<9>; .reg .pred "
           "%p<9>;\n"
           ".reg .b64 %d<9>; .reg .b128 %q<3>; .param .b32 pa; .param .align 8 .b8 pb[16];\n"
           "targets: .branchtargets done, second; .param .b64 po;\n"
           "second:\n" +
           body + "\ndone: ret;\n}\n";
}

struct Parsed {
    Log log;
    std::unique_ptr<Module> module;
    const Body* body = nullptr;
};

// Parses the module and the body of its last function.
inline Parsed parse(const std::string& text) {
    Parsed parsed;
    parsed.module = parse_module(text, parsed.log);
    if (parsed.module && !parsed.module->functions.empty()) {
        const auto last = static_cast<std::uint32_t>(parsed.module->functions.size() - 1);
        if (parsed.module->functions[last].is_defined) {
            parsed.body = parse_body(*parsed.module, last, parsed.log);
        }
    }
    return parsed;
}

inline Parsed parse_in_kernel(const std::string& body) {
    return parse(with_body(body));
}

}  // namespace cubar::softgpu::ptx
