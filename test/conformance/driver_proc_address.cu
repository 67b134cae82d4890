// SPDX-License-Identifier: Apache-2.0
// The rules of cuGetProcAddress: versions, per-thread variants, unknown names, statuses.
#include "driver_api.h"

namespace {

struct Found {
    CUresult result;
    void* function;
    CUdriverProcAddressQueryResult status;
};

Found find(const char* symbol, int version, cuuint64_t flags) {
    Found found{CUDA_SUCCESS, &found, static_cast<CUdriverProcAddressQueryResult>(99)};
    found.result = cuGetProcAddress(symbol, &found.function, version, flags, &found.status);
    return found;
}

void expect_missing(const char* symbol, int version, CUdriverProcAddressQueryResult status) {
    const Found found = find(symbol, version, CU_GET_PROC_ADDRESS_DEFAULT);
    DRIVER_FAILS(found.result, CUDA_ERROR_NOT_FOUND);
    CHECK(found.function == nullptr && found.status == status);
}

}  // namespace

int main() {
    // Before cuInit, as the runtime does it.
    const Found init = find("cuInit", 2000, CU_GET_PROC_ADDRESS_DEFAULT);
    CHECK(init.result == CUDA_SUCCESS && init.status == CU_GET_PROC_ADDRESS_SUCCESS);
    DRIVER(reinterpret_cast<decltype(&cuInit)>(init.function)(0));

    expect_missing("", 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    expect_missing("cuNoSuchFunction", 13000, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    expect_missing("cuMemAlloc_v9", 13000, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    expect_missing("cuinit", 13000, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    expect_missing("cuLibraryLoadData", 11000, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    std::printf("missing names\n");

    // The newest variant that the asked-for version knows, and no newer one.
    const Found old_alloc = find("cuCtxGetDevice", 2000, CU_GET_PROC_ADDRESS_DEFAULT);
    const Found new_alloc = find("cuCtxGetDevice", 13000, CU_GET_PROC_ADDRESS_DEFAULT);
    CHECK(old_alloc.result == CUDA_SUCCESS && new_alloc.result == CUDA_SUCCESS);
    CHECK(old_alloc.function != new_alloc.function);
    const Found old_elapsed = find("cuEventElapsedTime", 12000, CU_GET_PROC_ADDRESS_DEFAULT);
    const Found new_elapsed = find("cuEventElapsedTime", 12080, CU_GET_PROC_ADDRESS_DEFAULT);
    CHECK(old_elapsed.function != new_elapsed.function);
    std::printf("versions\n");

    const Found legacy = find("cuStreamSynchronize", 13000, CU_GET_PROC_ADDRESS_LEGACY_STREAM);
    const Found plain = find("cuStreamSynchronize", 13000, CU_GET_PROC_ADDRESS_DEFAULT);
    const Found per_thread =
        find("cuStreamSynchronize", 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    CHECK(legacy.function == plain.function && per_thread.result == CUDA_SUCCESS);
    CHECK(per_thread.function != legacy.function);
    const Found same = find("cuDeviceGet", 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    CHECK(same.function == find("cuDeviceGet", 13000, CU_GET_PROC_ADDRESS_DEFAULT).function);
    std::printf("per-thread variants\n");

    void* function = nullptr;
    DRIVER_FAILS(cuGetProcAddress("cuInit", &function, 13000, 64, nullptr),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGetProcAddress(nullptr, &function, 13000, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuGetProcAddress("cuDeviceGetCount", &function, 13000, 0, nullptr));
    int devices = 0;
    DRIVER(reinterpret_cast<decltype(&cuDeviceGetCount)>(function)(&devices));
    CHECK(devices >= 1);

    // Functions of the driver found by name work on each other's objects.
    const conformance::PrimaryContext context;
    CUdevice device = -1;
    DRIVER(reinterpret_cast<decltype(&cuCtxGetDevice)>(find("cuCtxGetDevice", 2000, 0).function)(
        &device));
    CHECK(device == 0);
    DRIVER(reinterpret_cast<decltype(&cuStreamSynchronize)>(per_thread.function)(nullptr));
    std::printf("calls\n");
    return 0;
}
