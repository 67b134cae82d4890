// SPDX-License-Identifier: Apache-2.0
// Errors of CUDA's libraries become exceptions.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace cubar::decode {

inline void check(cudaError_t error, const char* call) {
    if (error != cudaSuccess) {
        throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
    }
}

inline void check(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw std::runtime_error(std::string(call) + ": " + cublasGetStatusString(status));
    }
}

}  // namespace cubar::decode

#define CUBAR_CHECK(call) ::cubar::decode::check(call, #call)
