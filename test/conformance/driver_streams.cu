// SPDX-License-Identifier: Apache-2.0
// What a stream keeps for whoever asks: priority, flags and the attributes set later.
#include "driver_api.h"

int main() {
    const conformance::PrimaryContext context;
    int least = 1, greatest = 1;
    DRIVER(cuCtxGetStreamPriorityRange(&least, &greatest));
    CHECK(least >= greatest);
    CUstream first, second;
    DRIVER(cuStreamCreateWithPriority(&first, CU_STREAM_NON_BLOCKING, greatest));
    DRIVER(cuStreamCreate(&second, CU_STREAM_DEFAULT));
    int priority = 1;
    DRIVER(cuStreamGetPriority(first, &priority));
    CHECK(priority == greatest);
    DRIVER(cuStreamGetPriority(second, &priority));
    CHECK(priority == 0);
    unsigned flags = 0;
    DRIVER(cuStreamGetFlags(first, &flags));
    CHECK(flags == CU_STREAM_NON_BLOCKING);

    CUstreamAttrValue value = {};
    value.syncPolicy = CU_SYNC_POLICY_YIELD;
    DRIVER(cuStreamSetAttribute(first, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value = {};
    value.priority = greatest;
    DRIVER(cuStreamSetAttribute(second, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    DRIVER(cuStreamGetPriority(second, &priority));
    CHECK(priority == greatest);
    DRIVER(cuStreamCopyAttributes(second, first));
    DRIVER(cuStreamGetAttribute(second, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    CHECK(value.syncPolicy == CU_SYNC_POLICY_YIELD);

    DRIVER_FAILS(cuStreamGetAttribute(first, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuStreamSetAttribute(first, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuStreamGetPriority(first, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuStreamDestroy(first));
    DRIVER_FAILS(cuStreamGetPriority(first, &priority), CUDA_ERROR_INVALID_HANDLE);
    DRIVER(cuStreamDestroy(second));
    std::puts("done");
    return 0;
}
