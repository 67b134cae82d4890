// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/jit_options.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "softgpu/device/error.h"

namespace cubar::softgpu::api {

JitOptions::JitOptions(unsigned count, const CUjit_option* options, void** values) {
    device::require_value(count == 0 || (options != nullptr && values != nullptr),
                          "options without values");
    for (unsigned i = 0; i < count; ++i) {
        device::require_value(options[i] >= 0 && options[i] < CU_JIT_NUM_OPTIONS,
                              "no such JIT option");
        switch (options[i]) {
            case CU_JIT_INFO_LOG_BUFFER:
                info_.text = static_cast<char*>(values[i]);
                break;
            case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
                info_.size = &values[i];
                break;
            case CU_JIT_ERROR_LOG_BUFFER:
                errors_.text = static_cast<char*>(values[i]);
                break;
            case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
                errors_.size = &values[i];
                break;
            default:
                break;  // how native code is made, of which there is none
        }
    }
}

void JitOptions::Buffer::fill(const std::string& content) const {
    if (size == nullptr) return;
    // CUDA passes numbers in the place of pointers.
    const auto room = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(*size));
    std::size_t filled = 0;
    if (text != nullptr && room != 0) {
        filled = std::min<std::size_t>(content.size(), room - 1);
        std::memcpy(text, content.data(), filled);
        text[filled] = '\0';
    }
    *size = reinterpret_cast<void*>(std::uintptr_t{filled});
}

void JitOptions::report_errors(const std::string& text) const {
    errors_.fill(text);
}

void JitOptions::report_info(const std::string& text) const {
    info_.fill(text);
}

}  // namespace cubar::softgpu::api
