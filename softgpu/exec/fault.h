// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace cubar::softgpu::exec {

/// Why a grid died. The comment names the CUresult that CUDA reports for it.
enum class FaultKind {
    kIllegalAddress,      // CUDA_ERROR_ILLEGAL_ADDRESS
    kMisalignedAddress,   // CUDA_ERROR_MISALIGNED_ADDRESS
    kAssert,              // CUDA_ERROR_ASSERT
    kIllegalInstruction,  // CUDA_ERROR_ILLEGAL_INSTRUCTION
    kInvalidPc,           // CUDA_ERROR_INVALID_PC: indirect call of something that is no function
    kTrap,                // CUDA_ERROR_LAUNCH_FAILED
    kStackOverflow,       // CUDA_ERROR_HARDWARE_STACK_ERROR
    kDeadlock,            // CUDA_ERROR_LAUNCH_TIMEOUT: every thread of a block waits for another
    kCancelled,           // the grid was cancelled by its owner; no error of the program
};

struct Fault {
    FaultKind kind = FaultKind::kTrap;
    uint64_t address = 0;  // the generic address, for the two address faults
    std::string kernel;    // the entry's name
    uint32_t line = 0;     // in the PTX text
    std::string message;   // a whole sentence; for kAssert what CUDA prints to stderr
};

}  // namespace cubar::softgpu::exec
