// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cubar::softgpu::api {

/// The bytes of a file with an image, and a null character after them. Throws
/// CUDA_ERROR_FILE_NOT_FOUND.
std::string read_code_file(const char* path);

/// CUDA_MODULE_LOADING=EAGER: everything is compiled when it is loaded.
bool eager_loading();

}  // namespace cubar::softgpu::api
