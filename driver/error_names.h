// SPDX-License-Identifier: Apache-2.0
// Name and text of every CUresult.
#pragma once

#include <cuda.h>

namespace cubar::driver {

// "CUDA_ERROR_INVALID_VALUE" and "invalid argument"; null for a value that cuda.h does not name.
// The strings live as long as the library. Thread-safe.
const char* error_name(CUresult error) noexcept;
const char* error_text(CUresult error) noexcept;

// The bodies of cuGetErrorName and cuGetErrorString: an unknown error gives null and
// CUDA_ERROR_INVALID_VALUE, as does a null `text`.
CUresult get_error_name(CUresult error, const char** text) noexcept;
CUresult get_error_string(CUresult error, const char** text) noexcept;

}  // namespace cubar::driver
