// SPDX-License-Identifier: Apache-2.0
#include "driver/error_names.h"

#include <algorithm>
#include <array>

namespace cubar::driver {
namespace {

struct ErrorName {
    CUresult error;
    const char* name;
    const char* text;
};

#define CUBAR_ERROR(error, text) \
    ErrorName {                  \
        error, #error, text      \
    }

// In ascending order. A unit test compares it with cuda.h.
constexpr std::array kErrors{
    CUBAR_ERROR(CUDA_SUCCESS, "no error"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    CUBAR_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    CUBAR_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    CUBAR_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    CUBAR_ERROR(CUDA_ERROR_PROFILER_DISABLED,
                "profiler disabled while using external profiling tool"),
    CUBAR_ERROR(CUDA_ERROR_PROFILER_NOT_INITIALIZED, "profiler not initialized"),
    CUBAR_ERROR(CUDA_ERROR_PROFILER_ALREADY_STARTED, "profiler already started"),
    CUBAR_ERROR(CUDA_ERROR_PROFILER_ALREADY_STOPPED, "profiler already stopped"),
    CUBAR_ERROR(CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library"),
    CUBAR_ERROR(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER,
                "API call is not supported in the installed CUDA driver"),
    CUBAR_ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"),
    CUBAR_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    CUBAR_ERROR(CUDA_ERROR_DEVICE_NOT_LICENSED, "device doesn't have valid Grid license"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    CUBAR_ERROR(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, "context already current"),
    CUBAR_ERROR(CUDA_ERROR_MAP_FAILED, "mapping of buffer object failed"),
    CUBAR_ERROR(CUDA_ERROR_UNMAP_FAILED, "unmapping of buffer object failed"),
    CUBAR_ERROR(CUDA_ERROR_ARRAY_IS_MAPPED, "array is mapped"),
    CUBAR_ERROR(CUDA_ERROR_ALREADY_MAPPED, "resource already mapped"),
    CUBAR_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU,
                "no kernel image is available for execution on the device"),
    CUBAR_ERROR(CUDA_ERROR_ALREADY_ACQUIRED, "resource already acquired"),
    CUBAR_ERROR(CUDA_ERROR_NOT_MAPPED, "resource not mapped"),
    CUBAR_ERROR(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, "resource not mapped as array"),
    CUBAR_ERROR(CUDA_ERROR_NOT_MAPPED_AS_POINTER, "resource not mapped as pointer"),
    CUBAR_ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
    CUBAR_ERROR(CUDA_ERROR_UNSUPPORTED_LIMIT, "limit is not supported on this architecture"),
    CUBAR_ERROR(CUDA_ERROR_CONTEXT_ALREADY_IN_USE,
                "exclusive-thread device already in use by a different thread"),
    CUBAR_ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
                "peer access is not supported between these two devices"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, "invalid OpenGL or DirectX context"),
    CUBAR_ERROR(CUDA_ERROR_NVLINK_UNCORRECTABLE,
                "uncorrectable NVLink error detected during the execution"),
    CUBAR_ERROR(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, "PTX JIT compiler library not found"),
    CUBAR_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
                "the provided PTX was compiled with an unsupported toolchain."),
    CUBAR_ERROR(CUDA_ERROR_JIT_COMPILATION_DISABLED, "PTX JIT compilation was disabled"),
    CUBAR_ERROR(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY,
                "the provided execution affinity is not supported"),
    CUBAR_ERROR(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC,
                "the provided PTX contains unsupported call to cudaDeviceSynchronize"),
    CUBAR_ERROR(CUDA_ERROR_CONTAINED,
                "Invalid access of peer GPU memory over nvlink or a hardware error"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid"),
    CUBAR_ERROR(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    CUBAR_ERROR(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, "shared object symbol not found"),
    CUBAR_ERROR(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "shared object initialization failed"),
    CUBAR_ERROR(CUDA_ERROR_OPERATING_SYSTEM,
                "OS call failed or operation not supported on this OS"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    CUBAR_ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
    CUBAR_ERROR(CUDA_ERROR_LOSSY_QUERY, "attempted introspection would be semantically lossy"),
    CUBAR_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    CUBAR_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    CUBAR_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    CUBAR_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    CUBAR_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    CUBAR_ERROR(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING,
                "launch uses incompatible texturing mode"),
    CUBAR_ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
    CUBAR_ERROR(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled"),
    CUBAR_ERROR(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE,
                "cannot set while device is active in this process"),
    CUBAR_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    CUBAR_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    CUBAR_ERROR(CUDA_ERROR_TOO_MANY_PEERS, "peer mapping resources exhausted"),
    CUBAR_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                "part or all of the requested memory range is already mapped"),
    CUBAR_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
                "pointer does not correspond to a registered memory region"),
    CUBAR_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    CUBAR_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    CUBAR_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE,
                "operation not supported on global/shared address space"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    CUBAR_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    CUBAR_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"),
    CUBAR_ERROR(CUDA_ERROR_TENSOR_MEMORY_LEAK, "tensor memory not completely freed"),
    CUBAR_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    CUBAR_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    CUBAR_ERROR(CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized"),
    CUBAR_ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
                "system has unsupported display driver / cuda driver combination"),
    CUBAR_ERROR(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
                "forward compatibility was attempted on non supported HW"),
    CUBAR_ERROR(CUDA_ERROR_MPS_CONNECTION_FAILED,
                "MPS client failed to connect to the MPS control daemon or the MPS server"),
    CUBAR_ERROR(CUDA_ERROR_MPS_RPC_FAILURE,
                "the remote procedural call between the MPS server and the MPS client failed"),
    CUBAR_ERROR(CUDA_ERROR_MPS_SERVER_NOT_READY,
                "MPS server is not ready to accept new MPS client requests"),
    CUBAR_ERROR(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED,
                "the hardware resources required to create MPS client have been exhausted"),
    CUBAR_ERROR(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED,
                "the hardware resources required to support device connections have been "
                "exhausted"),
    CUBAR_ERROR(CUDA_ERROR_MPS_CLIENT_TERMINATED,
                "the MPS client has been terminated by the server"),
    CUBAR_ERROR(CUDA_ERROR_CDP_NOT_SUPPORTED,
                "is using CUDA Dynamic Parallelism, but the current configuration, like MPS, "
                "does not support it"),
    CUBAR_ERROR(CUDA_ERROR_CDP_VERSION_MISMATCH,
                "unsupported interaction between different versions of CUDA Dynamic Parallelism"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                "operation not permitted when stream is capturing"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                "operation failed due to a previous error during capture"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE,
                "operation would result in a merge of separate capture sequences"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED,
                "capture was not ended in the same stream as it began"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                "dependency created on uncaptured work in another stream"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                "operation would make the legacy stream depend on a capturing blocking stream"),
    CUBAR_ERROR(CUDA_ERROR_CAPTURED_EVENT,
                "operation not permitted on an event last recorded in a capturing stream"),
    CUBAR_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
                "attempt to terminate a thread-local capture sequence from another thread"),
    CUBAR_ERROR(CUDA_ERROR_TIMEOUT, "wait operation timed out"),
    CUBAR_ERROR(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE,
                "the graph update was not performed because it included changes which violated "
                "constraints specific to instantiated graph update"),
    CUBAR_ERROR(CUDA_ERROR_EXTERNAL_DEVICE,
                "an async error has occurred in external entity outside of CUDA"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_CLUSTER_SIZE,
                "a kernel launch error has occurred due to cluster misconfiguration"),
    CUBAR_ERROR(CUDA_ERROR_FUNCTION_NOT_LOADED,
                "the function handle is not loaded when calling an API that requires a loaded "
                "function"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_RESOURCE_TYPE,
                "one or more resources passed in are not valid resource types for the operation"),
    CUBAR_ERROR(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
                "one or more resources are insufficient or non-applicable for the operation"),
    CUBAR_ERROR(CUDA_ERROR_KEY_ROTATION,
                "operation failed because the confidential computing key was rotated"),
    CUBAR_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};

#undef CUBAR_ERROR

static_assert(std::ranges::is_sorted(kErrors, {}, &ErrorName::error));

const ErrorName* lookup(CUresult error) noexcept {
    const auto found = std::ranges::lower_bound(kErrors, error, {}, &ErrorName::error);
    return found != kErrors.end() && found->error == error ? &*found : nullptr;
}

CUresult answer(const char* found, const char** text) noexcept {
    if (text == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *text = found;
    return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // namespace

const char* error_name(CUresult error) noexcept {
    const ErrorName* found = lookup(error);
    return found == nullptr ? nullptr : found->name;
}

const char* error_text(CUresult error) noexcept {
    const ErrorName* found = lookup(error);
    return found == nullptr ? nullptr : found->text;
}

CUresult get_error_name(CUresult error, const char** text) noexcept {
    return answer(error_name(error), text);
}

CUresult get_error_string(CUresult error, const char** text) noexcept {
    return answer(error_text(error), text);
}

}  // namespace cubar::driver
