// SPDX-License-Identifier: Apache-2.0
// The _ptsz variants of what the guest library does not have yet; all others are generated from the
// descriptions. One that comes to be generated is a duplicate symbol here, and goes.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/entry.h"

namespace {

CUstream own_default(CUstream stream) {
    return stream == nullptr ? CU_STREAM_PER_THREAD : stream;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuStreamWriteValue32_v2_ptsz(CUstream stream, CUdeviceptr address,
                                                           cuuint32_t value, unsigned int flags) {
    return cuStreamWriteValue32_v2(own_default(stream), address, value, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWriteValue64_v2_ptsz(CUstream stream, CUdeviceptr address,
                                                           cuuint64_t value, unsigned int flags) {
    return cuStreamWriteValue64_v2(own_default(stream), address, value, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWaitValue32_v2_ptsz(CUstream stream, CUdeviceptr address,
                                                          cuuint32_t value, unsigned int flags) {
    return cuStreamWaitValue32_v2(own_default(stream), address, value, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamWaitValue64_v2_ptsz(CUstream stream, CUdeviceptr address,
                                                          cuuint64_t value, unsigned int flags) {
    return cuStreamWaitValue64_v2(own_default(stream), address, value, flags);
}

CUBAR_EXPORT CUresult CUDAAPI cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned int count,
                                                         CUstreamBatchMemOpParams* parameters,
                                                         unsigned int flags) {
    return cuStreamBatchMemOp_v2(own_default(stream), count, parameters, flags);
}
