// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

namespace cubar::softgpu::device {

/// A CUDA error on its way to the C boundary. Thrown inside softgpu only; api/entry.h turns it into
/// the returned CUresult and logs the reason.
class Error {
public:
    /// @param reason a string literal (not owned).
    constexpr Error(CUresult code, const char* reason) noexcept : code_(code), reason_(reason) {}
    [[nodiscard]] CUresult code() const noexcept { return code_; }
    [[nodiscard]] const char* reason() const noexcept { return reason_; }

private:
    CUresult code_;
    const char* reason_;
};

/// Throws Error(code, reason) unless the condition holds.
inline void require(bool condition, CUresult code, const char* reason) {
    if (!condition) throw Error(code, reason);
}

/// The argument check that nearly every function starts with.
inline void require_value(bool condition, const char* reason) {
    require(condition, CUDA_ERROR_INVALID_VALUE, reason);
}

}  // namespace cubar::softgpu::device
