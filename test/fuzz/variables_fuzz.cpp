// SPDX-License-Identifier: Apache-2.0
// Any text: no variable that the software GPU's front end makes of it is missing in what the ledger
// counts. Elsewhere the drivers differ; what ptxas makes of texts stands in the worker's unit
// tests.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/worker/ptx_variables.h"
#include "softgpu/ptx/parse.h"

namespace ptx = cubar::softgpu::ptx;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::uint64_t counted = cubar::host::ptx_variable_bytes(text);
    ptx::Log log;
    const auto module = ptx::parse_module(text, log);
    if (!module) return 0;
    std::uint64_t made = 0;
    for (const ptx::Variable& variable : module->variables) {
        if (variable.space == ptx::Space::kGlobal) made += variable.size;
    }
    if (counted < made) std::abort();
    return 0;
}
