// SPDX-License-Identifier: Apache-2.0
// Libraries and kernels, which belong to no context: names, attributes, globals, launches.
#include "driver_api.h"

int main() {
    const conformance::PrimaryContext context;
    CUlibrary library;
    DRIVER(cuLibraryLoadData(&library, conformance::kScalePtx, nullptr, nullptr, 0, nullptr,
                             nullptr, 0));
    unsigned kernels = 0;
    DRIVER(cuLibraryGetKernelCount(&kernels, library));
    CHECK(kernels == 1);
    CUkernel kernel, listed;
    DRIVER(cuLibraryGetKernel(&kernel, library, "scale"));
    DRIVER(cuLibraryEnumerateKernels(&listed, 1, library));
    CHECK(listed == kernel);
    CUkernel missing;
    DRIVER_FAILS(cuLibraryGetKernel(&missing, library, "missing"), CUDA_ERROR_NOT_FOUND);

    const char* name = nullptr;
    DRIVER(cuKernelGetName(&name, kernel));
    CHECK(std::string_view(name) == "scale");
    int value = 0;
    DRIVER(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel,
                                context.device()));
    CHECK(value == 1024);
    std::size_t offset = 0, size = 0;
    DRIVER(cuKernelGetParamInfo(kernel, 1, &offset, &size));
    CHECK(offset == 8 && size == 4);
    CUlibrary owner;
    DRIVER(cuKernelGetLibrary(&owner, kernel));
    CHECK(owner == library);

    CUfunction function, same;
    DRIVER(cuKernelGetFunction(&function, kernel));
    DRIVER(cuKernelGetFunction(&same, kernel));
    CHECK(function == same);
    CUmodule module;
    DRIVER(cuLibraryGetModule(&module, library));
    DRIVER(cuFuncGetName(&name, function));
    CHECK(std::string_view(name) == "scale");

    CUdeviceptr bias, memory;
    DRIVER(cuLibraryGetGlobal(&bias, &size, library, "bias"));
    CHECK(size == 4);
    DRIVER_FAILS(cuLibraryGetGlobal(&bias, &size, library, "absent"), CUDA_ERROR_NOT_FOUND);

    // A kernel launches as it is, like the function that it has in the current context.
    std::vector<unsigned> values(256, 9);
    DRIVER(cuMemAlloc(&memory, 1024));
    DRIVER(cuMemcpyHtoD(memory, values.data(), 1024));
    unsigned count = 256, factor = 10;
    void* parameters[] = {&memory, &count, &factor};
    DRIVER(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 2, 1, 1, 128, 1, 1, 0, nullptr,
                          parameters, nullptr));
    DRIVER(cuLaunchKernel(function, 2, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
    DRIVER(cuMemcpyDtoH(values.data(), memory, 1024));
    for (unsigned i = 0; i < 256; ++i)
        CHECK_AT(i, values[i], conformance::scaled(conformance::scaled(9, i, 10), i, 10));
    conformance::report("scaled twice", values);
    DRIVER(cuMemFree(memory));
    DRIVER(cuLibraryUnload(library));
    return 0;
}
