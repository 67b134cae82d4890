// SPDX-License-Identifier: Apache-2.0
// A module from PTX text: functions, globals, launches with parameters as array and as buffer.
#include "driver_api.h"

namespace {

constexpr unsigned kCount = 1000;

std::vector<unsigned> numbers() {
    std::vector<unsigned> values(kCount);
    for (unsigned i = 0; i < kCount; ++i) values[i] = i * i;
    return values;
}

void check(CUdeviceptr memory, unsigned factor, unsigned bias) {
    std::vector<unsigned> result(kCount);
    DRIVER(cuMemcpyDtoH(result.data(), memory, kCount * sizeof(unsigned)));
    const auto before = numbers();
    for (unsigned i = 0; i < kCount; ++i)
        CHECK_AT(i, result[i], conformance::scaled(before[i], i, factor, bias));
    conformance::report("scaled", result);
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    CUmodule module;
    CUfunction scale;
    DRIVER(cuModuleLoadData(&module, conformance::kScalePtx));
    DRIVER(cuModuleGetFunction(&scale, module, "scale"));
    CUfunction missing;
    DRIVER_FAILS(cuModuleGetFunction(&missing, module, "scales"), CUDA_ERROR_NOT_FOUND);

    CUdeviceptr memory, bias;
    std::size_t size = 0;
    const auto values = numbers();
    DRIVER(cuMemAlloc(&memory, kCount * sizeof(unsigned)));
    DRIVER(cuMemcpyHtoD(memory, values.data(), kCount * sizeof(unsigned)));
    unsigned count = kCount, factor = 3;
    void* parameters[] = {&memory, &count, &factor};
    DRIVER(cuLaunchKernel(scale, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
    check(memory, 3, 5);

    // The same through one buffer, laid out as the kernel's parameters are.
    DRIVER(cuModuleGetGlobal(&bias, &size, module, "bias"));
    CHECK(size == 4);
    DRIVER(cuMemsetD32(bias, 11, 1));
    DRIVER(cuMemcpyHtoD(memory, values.data(), kCount * sizeof(unsigned)));
    struct {
        CUdeviceptr values;
        unsigned count, factor;
    } buffer{memory, kCount, 7};
    size = sizeof buffer;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    DRIVER(cuLaunchKernel(scale, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra));
    check(memory, 7, 11);
    DRIVER_FAILS(cuLaunchKernel(scale, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, extra),
                 CUDA_ERROR_INVALID_VALUE);

    DRIVER(cuMemcpyHtoD(memory, values.data(), kCount * sizeof(unsigned)));
    CUstream stream;
    DRIVER(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    DRIVER(cuCtxSynchronize());
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
    attribute.value.priority = 0;
    CUlaunchConfig config = {};
    config.gridDimX = 8;
    config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = 128;
    config.blockDimY = config.blockDimZ = 1;
    config.hStream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    factor = 2;
    DRIVER(cuLaunchKernelEx(&config, scale, parameters, nullptr));
    factor = 99;  // taken at the launch
    DRIVER(cuStreamSynchronize(stream));
    check(memory, 2, 11);
    DRIVER(cuStreamDestroy(stream));

    int value = 0;
    DRIVER(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, scale));
    CHECK(value == 1024);
    DRIVER(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, scale));
    CHECK(value == 0);
    DRIVER(cuFuncSetAttribute(scale, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 4096));
    DRIVER(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, scale));
    CHECK(value == 4096);
    CUmodule owner;
    DRIVER(cuFuncGetModule(&owner, scale));
    CHECK(owner == module);
    std::size_t offset = 99;
    DRIVER(cuFuncGetParamInfo(scale, 2, &offset, &size));
    CHECK(offset == 12 && size == 4);
    DRIVER_FAILS(cuFuncGetParamInfo(scale, 3, &offset, &size), CUDA_ERROR_INVALID_VALUE);

    DRIVER_FAILS(cuLaunchKernel(scale, 1, 1, 1, 2000, 1, 1, 0, nullptr, parameters, nullptr),
                 CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuModuleGetGlobal(&bias, &size, module, "no_such_global"), CUDA_ERROR_NOT_FOUND);
    DRIVER(cuMemFree(memory));
    DRIVER(cuModuleUnload(module));
    return 0;
}
