// SPDX-License-Identifier: Apache-2.0
// The libcuda.so.1 under examination, loaded by name at run time: no cudart, nothing linked.
#pragma once

#include <cuda.h>

#include <string>

namespace cubar::probe {

// By the names of cuda.h, whose macros turn some of them into their newest version. clang-format
// would make another list of it each time.
// clang-format off
#define CUBAR_PROBED_FUNCTIONS(X) \
    X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxSetCurrent) \
    X(cuCtxSynchronize) X(cuDeviceCanAccessPeer) X(cuDeviceGet) X(cuDeviceGetAttribute) \
    X(cuDeviceGetCount) X(cuDeviceGetMemPool) X(cuDeviceGetName) X(cuDeviceGetUuid) \
    X(cuDevicePrimaryCtxGetState) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxReset) \
    X(cuDevicePrimaryCtxRetain) X(cuDeviceTotalMem) X(cuDriverGetVersion) X(cuEventCreate) \
    X(cuEventDestroy) X(cuEventElapsedTime) X(cuEventQuery) X(cuEventRecord) \
    X(cuEventSynchronize) X(cuFuncGetParamInfo) X(cuFuncLoad) X(cuGetErrorName) \
    X(cuGetExportTable) X(cuGetProcAddress) X(cuGraphDestroy) X(cuInit) X(cuKernelGetFunction) \
    X(cuKernelGetParamInfo) X(cuLaunchHostFunc) X(cuLaunchKernel) X(cuLibraryGetKernel) \
    X(cuLibraryLoadData) X(cuLibraryUnload) X(cuMemAddressFree) X(cuMemAddressReserve) \
    X(cuMemAlloc) X(cuMemAllocAsync) X(cuMemAllocFromPoolAsync) X(cuMemCreate) X(cuMemFree) \
    X(cuMemFreeAsync) X(cuMemFreeHost) X(cuMemGetAllocationGranularity) X(cuMemGetInfo) \
    X(cuMemHostAlloc) X(cuMemHostGetDevicePointer) X(cuMemHostRegister) X(cuMemHostUnregister) \
    X(cuMemMap) X(cuMemPoolGetAttribute) X(cuMemRelease) X(cuMemRetainAllocationHandle) \
    X(cuMemSetAccess) X(cuMemUnmap) X(cuMemcpyDtoD) X(cuMemcpyDtoH) X(cuMemcpyDtoHAsync) \
    X(cuMemcpyHtoD) X(cuMemcpyHtoDAsync) X(cuMemcpyPeer) X(cuMemsetD8Async) \
    X(cuModuleGetFunction) X(cuModuleGetLoadingMode) X(cuModuleLoadData) X(cuModuleUnload) \
    X(cuPointerGetAttribute) X(cuStreamBeginCapture) X(cuStreamCreate) X(cuStreamDestroy) \
    X(cuStreamEndCapture) X(cuStreamIsCapturing) X(cuStreamQuery) X(cuStreamSynchronize) \
    X(cuStreamWaitEvent) X(cuStreamWriteValue64) X(cuThreadExchangeStreamCaptureMode)
// clang-format on

/// A function that the library lacks is null; `missing` names it.
struct Driver {
#define CUBAR_MEMBER(name) decltype(&::name) name = nullptr;
    CUBAR_PROBED_FUNCTIONS(CUBAR_MEMBER)
#undef CUBAR_MEMBER
    std::string missing;
};

/// Loads the library, once per process. Throws std::runtime_error with the linker's reason.
void load_driver(const std::string& library);

/// What load_driver() found.
const Driver& cu();

/// The name of an error, as the library calls it; its number where it has none.
std::string name_of(CUresult result);

}  // namespace cubar::probe
