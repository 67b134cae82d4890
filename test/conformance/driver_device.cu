// SPDX-License-Identifier: Apache-2.0
// The driver API before a context: initialisation, devices, names, attributes, versions, errors.
#include "driver_api.h"

int main() {
    int count = 0;
    CUdevice device = -1;
    DRIVER_FAILS(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    DRIVER_FAILS(cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
    DRIVER_FAILS(cuInit(1), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuInit(0));
    DRIVER(cuInit(0));
    DRIVER(cuDeviceGetCount(&count));
    CHECK(count >= 1);
    DRIVER(cuDeviceGet(&device, 0));
    DRIVER_FAILS(cuDeviceGet(&device, count), CUDA_ERROR_INVALID_DEVICE);
    DRIVER_FAILS(cuDeviceGet(&device, -1), CUDA_ERROR_INVALID_DEVICE);
    DRIVER_FAILS(cuDeviceGetCount(nullptr), CUDA_ERROR_INVALID_VALUE);

    char name[128] = {}, shortened[4] = {'?', '?', '?', '?'};
    DRIVER(cuDeviceGetName(name, sizeof name, device));
    DRIVER(cuDeviceGetName(shortened, sizeof shortened, device));
    CHECK(std::strlen(name) > 3 && std::memcmp(name, shortened, 3) == 0);
    std::printf("%s\n", name);
    std::size_t bytes = 0;
    DRIVER(cuDeviceTotalMem(&bytes, device));
    CHECK(bytes >= std::size_t{64} << 20);
    CUuuid uuid = {};
    const CUuuid empty = {};
    DRIVER(cuDeviceGetUuid(&uuid, device));
    CHECK(std::memcmp(&uuid, &empty, sizeof uuid) != 0);
    int major = 0, minor = 0, version = 0;
    DRIVER(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
    DRIVER(cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
    DRIVER_FAILS(cuDeviceGetAttribute(&minor, static_cast<CUdevice_attribute>(99999), device),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_WARP_SIZE, count),
                 CUDA_ERROR_INVALID_DEVICE);
    DRIVER(cuDriverGetVersion(&version));
    CHECK(version >= 13000);
    std::printf("compute capability %d.%d\n", major, minor);

    const char* text = nullptr;
    DRIVER(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    CHECK(std::string_view(text) == "CUDA_ERROR_ILLEGAL_ADDRESS");
    DRIVER(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
    CHECK(std::string_view(text) == "out of memory");
    DRIVER_FAILS(cuGetErrorName(static_cast<CUresult>(12345), &text), CUDA_ERROR_INVALID_VALUE);
    CHECK(text == nullptr);

    // Nothing that needs a context works without one.
    CUdeviceptr memory = 0;
    CUcontext context = nullptr;
    DRIVER(cuCtxGetCurrent(&context));
    CHECK(context == nullptr);
    DRIVER_FAILS(cuMemAlloc(&memory, 64), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_FAILS(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_FAILS(cuCtxPopCurrent(&context), CUDA_ERROR_INVALID_CONTEXT);
    return 0;
}
