// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

namespace cubar {

/// Errors after which a context executes nothing more: every later call in it returns them, on the
/// host by the driver and in the guest by the channel's error word.
constexpr bool ends_context(CUresult error) {
    switch (error) {
        case CUDA_ERROR_ILLEGAL_ADDRESS:
        case CUDA_ERROR_LAUNCH_TIMEOUT:
        case CUDA_ERROR_ASSERT:
        case CUDA_ERROR_HARDWARE_STACK_ERROR:
        case CUDA_ERROR_ILLEGAL_INSTRUCTION:
        case CUDA_ERROR_MISALIGNED_ADDRESS:
        case CUDA_ERROR_INVALID_ADDRESS_SPACE:
        case CUDA_ERROR_INVALID_PC:
        case CUDA_ERROR_LAUNCH_FAILED:
        case CUDA_ERROR_ECC_UNCORRECTABLE:
            return true;
        default:
            return false;
    }
}

}  // namespace cubar
