// SPDX-License-Identifier: Apache-2.0
// Events and streams through the driver API: timing and its errors, queries, waits, flags.
#include "driver_api.h"

int main() {
    const conformance::PrimaryContext context;
    CUstream stream;
    CUevent begin, end, untimed, unrecorded;
    DRIVER(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    DRIVER(cuEventCreate(&begin, CU_EVENT_DEFAULT));
    DRIVER(cuEventCreate(&end, CU_EVENT_BLOCKING_SYNC));
    DRIVER(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    DRIVER(cuEventCreate(&unrecorded, CU_EVENT_DEFAULT));
    CUevent refused;
    DRIVER_FAILS(cuEventCreate(&refused, 0x80), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuStreamCreate(&stream, 0x80), CUDA_ERROR_INVALID_VALUE);

    CUdeviceptr memory;
    DRIVER(cuMemAlloc(&memory, 1 << 20));
    DRIVER(cuEventRecord(begin, stream));
    DRIVER(cuMemsetD8Async(memory, 1, 1 << 20, stream));
    DRIVER(cuEventRecord(untimed, stream));
    DRIVER(cuEventRecord(end, stream));
    DRIVER(cuEventSynchronize(end));
    DRIVER(cuEventQuery(begin));
    DRIVER(cuEventQuery(unrecorded));

    float milliseconds = -1;
    DRIVER(cuEventElapsedTime(&milliseconds, begin, end));
    CHECK(milliseconds >= 0);
    float backwards = 1;
    DRIVER(cuEventElapsedTime(&backwards, end, begin));
    CHECK(backwards <= 0);
    DRIVER_FAILS(cuEventElapsedTime(&milliseconds, begin, untimed), CUDA_ERROR_INVALID_HANDLE);
    DRIVER_FAILS(cuEventElapsedTime(&milliseconds, begin, unrecorded), CUDA_ERROR_INVALID_HANDLE);

    // A later record replaces the earlier one.
    DRIVER(cuEventRecord(begin, stream));
    DRIVER(cuStreamSynchronize(stream));
    DRIVER(cuEventElapsedTime(&milliseconds, end, begin));
    CHECK(milliseconds >= 0);

    CUstream other;
    DRIVER(cuStreamCreateWithPriority(&other, CU_STREAM_NON_BLOCKING, -1000));
    int priority = 1, least = 0, greatest = 0;
    unsigned flags = 0;
    DRIVER(cuStreamGetPriority(other, &priority));
    DRIVER(cuCtxGetStreamPriorityRange(&least, &greatest));
    CHECK(priority == greatest);
    DRIVER(cuStreamGetFlags(other, &flags));
    CHECK(flags == CU_STREAM_NON_BLOCKING);
    CUcontext owner = nullptr;
    DRIVER(cuStreamGetCtx(other, &owner));
    CHECK(owner == context.context());
    DRIVER(cuMemsetD8Async(memory, 2, 1 << 20, stream));
    DRIVER(cuEventRecord(untimed, stream));
    DRIVER(cuStreamWaitEvent(other, untimed, CU_EVENT_WAIT_DEFAULT));
    DRIVER(cuMemsetD8Async(memory + 1, 3, 1, other));
    DRIVER(cuStreamWaitEvent(other, unrecorded, 0));
    unsigned char bytes[3];
    DRIVER(cuMemcpyDtoHAsync(bytes, memory, 3, other));
    DRIVER(cuStreamSynchronize(other));
    CHECK(bytes[0] == 2 && bytes[1] == 3 && bytes[2] == 2);
    DRIVER(cuStreamQuery(other));

    for (CUevent event : {begin, end, untimed, unrecorded}) DRIVER(cuEventDestroy(event));
    DRIVER(cuStreamDestroy(stream));
    DRIVER(cuStreamDestroy(other));
    DRIVER(cuMemFree(memory));
    std::printf("timed, ordered, refused\n");
    return 0;
}
