// SPDX-License-Identifier: Apache-2.0
#include <cuda.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "api_support.h"

using namespace cubar::softgpu::test;

TEST_CASE_METHOD(Code, "a kernel runs, with parameters given either way") {
    CUdeviceptr memory = 0;
    constexpr unsigned kCount = 1000;
    SUCCEEDS(cuMemAlloc(&memory, kCount * 4));
    SUCCEEDS(cuMemsetD32(memory, 1, kCount));
    unsigned amount = 41, count = kCount;
    void* parameters[] = {&memory, &amount, &count};
    const CUfunction add = function("add");
    SUCCEEDS(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr));
    struct {
        CUdeviceptr memory;
        unsigned amount;
        unsigned count;
    } buffer{memory, 100, kCount};
    std::size_t size = sizeof buffer;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                     CU_LAUNCH_PARAM_END};
    SUCCEEDS(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra));
    std::vector<unsigned> values(kCount);
    SUCCEEDS(cuMemcpyDtoH(values.data(), memory, kCount * 4));
    CHECK(values == std::vector<unsigned>(kCount, 142));

    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, parameters, extra) ==
          CUDA_ERROR_INVALID_VALUE);
    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_INVALID_VALUE);
    size = 15;
    CHECK(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra) ==
          CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Code, "a launch that cannot be is refused at once") {
    const CUfunction small = function("small");
    const auto launch = [&](unsigned grid, unsigned block, unsigned shared) {
        return cuLaunchKernel(small, grid, 1, 1, block, 1, 1, shared, nullptr, nullptr, nullptr);
    };
    CHECK(launch(1, 64, 0) == CUDA_SUCCESS);
    CHECK(launch(0, 64, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 0, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 1025, 0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(launch(1, 65, 0) == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    CHECK(launch(1, 64, 48 << 10) == CUDA_SUCCESS);
    CHECK(launch(1, 64, (48 << 10) + 1) == CUDA_ERROR_INVALID_VALUE);
    SUCCEEDS(cuFuncSetAttribute(small, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 64 << 10));
    CHECK(launch(1, 64, 64 << 10) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(this), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr,
                         nullptr) == CUDA_ERROR_INVALID_HANDLE);
    SUCCEEDS(cuCtxSynchronize());
}

TEST_CASE_METHOD(Code, "a fault is deferred, sticky, and ends with its context") {
    CUdeviceptr memory = 0;
    Word fence;
    SUCCEEDS(cuMemAlloc(&memory, 16));
    SUCCEEDS(cuLaunchKernel(function("out"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));
    // Refused if the fault is known already, lost if not: it never happens.
    (void)cuStreamWriteValue32(nullptr, reinterpret_cast<CUdeviceptr>(fence.value), 1, 0);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(*fence.value == 0);
    CHECK(cuMemAlloc(&memory, 16) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuStreamQuery(nullptr) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CUdevice device = -1;
    CHECK(cuCtxGetDevice(&device) == CUDA_SUCCESS);
    CUcontext fresh = nullptr;
    SUCCEEDS(cuCtxCreate(&fresh, nullptr, 0, 0));
    CHECK(cuMemAlloc(&memory, 16) == CUDA_SUCCESS);
    SUCCEEDS(cuCtxDestroy(fresh));
}

TEST_CASE_METHOD(Code, "handles of another kind, destroyed or made up are refused") {
    CUstream stream = nullptr;
    CUevent event = nullptr;
    SUCCEEDS(cuStreamCreate(&stream, 0));
    SUCCEEDS(cuEventCreate(&event, 0));
    CHECK(cuStreamSynchronize(reinterpret_cast<CUstream>(event)) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventRecord(reinterpret_cast<CUevent>(stream), stream) == CUDA_ERROR_INVALID_HANDLE);
    SUCCEEDS(cuStreamDestroy(stream));
    SUCCEEDS(cuEventDestroy(event));
    CHECK(cuStreamDestroy(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuStreamSynchronize(stream) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventQuery(event) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuEventQuery(nullptr) == CUDA_ERROR_INVALID_HANDLE);
    const CUfunction add = function("add");
    SUCCEEDS(cuModuleUnload(module));
    CHECK(cuModuleUnload(module) == CUDA_ERROR_INVALID_HANDLE);
    int registers = 0;
    CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, add) ==
          CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(Code, "a module's variables are device memory") {
    CUdeviceptr address = 0;
    std::size_t size = 0;
    SUCCEEDS(cuModuleGetGlobal(&address, &size, module, "counter"));
    CHECK(size == 4);
    unsigned value = 0;
    SUCCEEDS(cuMemcpyDtoH(&value, address, 4));
    CHECK(value == 5);
    CHECK(cuModuleGetGlobal(&address, &size, module, "none") == CUDA_ERROR_NOT_FOUND);
    CUfunction missing = nullptr;
    CHECK(cuModuleGetFunction(&missing, module, "none") == CUDA_ERROR_NOT_FOUND);
    CHECK(cuMemFree(address) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE_METHOD(Context, "a library is loaded into a context when it is needed there") {
    CUlibrary library = nullptr;
    SUCCEEDS(cuLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
    unsigned count = 0;
    SUCCEEDS(cuLibraryGetKernelCount(&count, library));
    CHECK(count == 3);
    CUkernel kernel = nullptr;
    SUCCEEDS(cuLibraryGetKernel(&kernel, library, "small"));
    CHECK(cuLibraryGetKernel(&kernel, library, "none") == CUDA_ERROR_NOT_FOUND);
    SUCCEEDS(cuLibraryGetKernel(&kernel, library, "small"));
    SUCCEEDS(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 64, 1, 1, 0, nullptr,
                            nullptr, nullptr));
    CUfunction function = nullptr;
    SUCCEEDS(cuKernelGetFunction(&function, kernel));
    int threads = 0;
    SUCCEEDS(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function));
    CHECK(threads == 64);
    SUCCEEDS(cuLibraryUnload(library));
    CHECK(cuLibraryUnload(library) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuKernelGetFunction(&function, kernel) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_NUM_REGS, function) ==
          CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE_METHOD(Context, "images that cannot be loaded say why") {
    CUmodule module = nullptr;
    std::array<char, 512> log{};
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {log.data(), reinterpret_cast<void*>(std::uintptr_t{log.size()})};
    std::string broken = kPtx;
    broken.replace(broken.find("mad.lo.s32"), 10, "mud.lo.s32");
    CHECK(cuModuleLoadDataEx(&module, broken.c_str(), 2, options, values) ==
          CUDA_ERROR_INVALID_PTX);
    CHECK(std::string(log.data()).find("mud") != std::string::npos);
    CHECK(std::string(log.data()).find("line ") != std::string::npos);
    CHECK(reinterpret_cast<std::uintptr_t>(values[1]) == std::strlen(log.data()));
    CHECK(cuModuleLoadData(&module, "no image") == CUDA_ERROR_INVALID_IMAGE);
    std::string newer = kPtx;
    newer.replace(newer.find("sm_75"), 5, "sm_90");
    values[1] = reinterpret_cast<void*>(std::uintptr_t{log.size()});
    CHECK(cuModuleLoadDataEx(&module, newer.c_str(), 2, options, values) == CUDA_ERROR_INVALID_PTX);
    CHECK(std::string(log.data()).find("CUBAR_SOFTGPU_CC=9.0") != std::string::npos);
    // A fatbin's header, of version 1 and 16 bytes, and nothing in it.
    const std::uint64_t empty[] = {0x0010'0001'ba55'ed50, 0};
    values[1] = reinterpret_cast<void*>(std::uintptr_t{log.size()});
    CHECK(cuModuleLoadDataEx(&module, empty, 2, options, values) == CUDA_ERROR_NO_BINARY_FOR_GPU);
    CHECK(std::string(log.data()).find("without PTX") != std::string::npos);
    CHECK(cuModuleLoadData(&module, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuModuleLoad(&module, "/nonexistent") == CUDA_ERROR_FILE_NOT_FOUND);
}

TEST_CASE_METHOD(Code, "as many clusters of one block are resident as blocks") {
    const CUfunction add = function("add");
    CUlaunchAttribute attribute{};
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = {1, 1, 1};
    CUlaunchConfig config{};
    config.gridDimX = config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = 128;
    config.blockDimY = 2;
    config.blockDimZ = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
    int blocks = 0, multiprocessors = 0, clusters = 0, size = 0;
    SUCCEEDS(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 256, 0));
    SUCCEEDS(cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    SUCCEEDS(cuOccupancyMaxActiveClusters(&clusters, add, &config));
    CHECK(clusters == blocks * multiprocessors);
    SUCCEEDS(cuOccupancyMaxPotentialClusterSize(&size, add, &config));
    CHECK(size == 1);

    attribute.value.clusterDim.x = 2;
    CHECK(cuOccupancyMaxActiveClusters(&clusters, add, &config) == CUDA_ERROR_NOT_SUPPORTED);
    attribute.value.clusterDim.x = 1;
    config.blockDimX = 1u << 31;  // times two and more overflows
    SUCCEEDS(cuOccupancyMaxActiveClusters(&clusters, add, &config));
    CHECK(clusters == 0);
    CHECK(cuOccupancyMaxPotentialClusterSize(&size, add, &config) == CUDA_ERROR_INVALID_VALUE);
    config.blockDimX = 0;
    CHECK(cuOccupancyMaxActiveClusters(&clusters, add, &config) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuOccupancyMaxActiveClusters(&clusters, add, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuOccupancyMaxActiveClusters(nullptr, add, &config) == CUDA_ERROR_INVALID_VALUE);
}
