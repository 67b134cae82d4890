// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/image/fatbin.h"
#include "softgpu/device/device.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::device {

/// What cuModuleLoadData and its like were given, reduced to the PTX that this device runs.
class CodeImage {
public:
    enum class Lifetime : std::uint8_t {
        kCall,       ///< the caller's memory ends with the call: what is needed is copied
        kPreserved,  ///< CU_LIBRARY_BINARY_IS_PRESERVED: it outlives the library
    };

    /// Chooses by looking at headers only. `log` says what is wrong when it throws
    /// CUDA_ERROR_INVALID_IMAGE or CUDA_ERROR_NO_BINARY_FOR_GPU.
    CodeImage(const void* image, Lifetime lifetime, const Architecture& architecture,
              std::string& log);

    /// True for PTX text: the caller asks for compilation, errors and all. False for a fatbin,
    /// whose kernels are compiled when they are first needed.
    [[nodiscard]] bool is_source() const { return !entry_.has_value(); }

    /// Unpacks and indexes it. Throws CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_PTX or
    /// CUDA_ERROR_UNSUPPORTED_PTX_VERSION, with the reasons in `log`.
    [[nodiscard]] std::unique_ptr<ptx::Module> parse(std::string& log) const;

private:
    void choose(driver::image::Bytes fatbin, std::string& log);

    Architecture architecture_;
    std::optional<driver::image::FatbinEntry> entry_;
    std::vector<std::byte> copy_;  // what entry_ points into, unless it is preserved
    std::string text_;             // PTX that was given as such
};

}  // namespace cubar::softgpu::device
