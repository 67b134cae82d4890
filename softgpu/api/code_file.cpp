// SPDX-License-Identifier: Apache-2.0
#include "softgpu/api/code_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>

#include "softgpu/device/error.h"

namespace cubar::softgpu::api {

std::string read_code_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    device::require(file.good(), CUDA_ERROR_FILE_NOT_FOUND, "the file cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool eager_loading() {
    const char* mode = std::getenv("CUDA_MODULE_LOADING");
    return mode != nullptr && std::string_view(mode) == "EAGER";
}

}  // namespace cubar::softgpu::api
