// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <string>

namespace cubar::softgpu::api {

/// The JIT options of one call: those that make a difference here are the two log buffers.
class JitOptions {
public:
    /// Throws CUDA_ERROR_INVALID_VALUE for an option that cuda.h does not name.
    JitOptions(unsigned count, const CUjit_option* options, void** values);

    /// Fills the error log buffer, cut to its size, and stores how much of it is filled.
    void report_errors(const std::string& text) const;
    /// The same with the information log.
    void report_info(const std::string& text) const;

private:
    struct Buffer {
        char* text = nullptr;
        void** size = nullptr;  ///< the option's value: bytes on entry, bytes filled on return
        void fill(const std::string& content) const;
    };
    Buffer errors_;
    Buffer info_;
};

}  // namespace cubar::softgpu::api
