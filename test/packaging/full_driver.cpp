// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 as on a GPU whose memory is taken to the last byte: not even a context fits.
#include <cuda.h>

CUresult cuInit(unsigned) {
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext*, CUdevice) {
    return CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuCtxSetCurrent(CUcontext) {
    return CUDA_ERROR_INVALID_CONTEXT;
}
CUresult cuMemGetInfo(size_t*, size_t*) {
    return CUDA_ERROR_INVALID_CONTEXT;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    return CUDA_ERROR_INVALID_CONTEXT;
}
CUresult cuGetErrorName(CUresult, const char** name) {
    *name = "of the made-up driver";
    return CUDA_SUCCESS;
}
