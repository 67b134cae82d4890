// SPDX-License-Identifier: Apache-2.0
#include "fake_driver.h"

#include <algorithm>
#include <atomic>

namespace cubar::host::test {
namespace {

FakeDriver* fake = nullptr;

// Objects are numbers: the worker never follows the driver's pointers.
std::atomic<std::uint64_t> last_object{0x1000};

template <typename Pointer>
CUresult make(const char* name, Pointer* out) {
    const CUresult result = fake->called(name);
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<Pointer>(last_object += 0x10);
    return result;
}

void write(CUdeviceptr address, std::uint64_t value) {
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(address)).store(value);
}

}  // namespace

FakeDriver::FakeDriver() {
    fake = this;
    table.cuDeviceGet = [](CUdevice* device, int ordinal) {
        *device = ordinal;
        return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    };
    table.cuCtxSetCurrent = [](CUcontext) { return CUDA_SUCCESS; };
    table.cuCtxCreate_v2 = [](CUcontext* context, unsigned, CUdevice) {
        return make("cuCtxCreate", context);
    };
    table.cuCtxDestroy_v2 = [](CUcontext) { return fake->called("cuCtxDestroy"); };
    table.cuCtxGetId = [](CUcontext, unsigned long long* id) {
        *id = 7;
        return CUDA_SUCCESS;
    };
    table.cuCtxGetApiVersion = [](CUcontext, unsigned* version) {
        *version = 3020;
        return CUDA_SUCCESS;
    };
    table.cuCtxGetStreamPriorityRange = [](int* least, int* greatest) {
        *least = 0;
        *greatest = -5;
        return CUDA_SUCCESS;
    };
    table.cuDeviceGetAttribute = [](int* value, CUdevice_attribute, CUdevice) {
        *value = 8;
        return CUDA_SUCCESS;
    };
    // In units of 16 bytes.
    table.cuCtxSetLimit = [](CUlimit, std::size_t value) {
        const CUresult result = fake->called("cuCtxSetLimit");
        if (result == CUDA_SUCCESS) fake->limit = (value + 15) / 16 * 16;
        return result;
    };
    table.cuCtxGetLimit = [](std::size_t* value, CUlimit) {
        *value = fake->limit;
        return CUDA_SUCCESS;
    };
    table.cuMemHostRegister_v2 = [](void*, std::size_t, unsigned) {
        return fake->called("cuMemHostRegister");
    };
    table.cuMemHostUnregister = [](void*) { return fake->called("cuMemHostUnregister"); };
    table.cuMemHostGetDevicePointer_v2 = [](CUdeviceptr* address, void* memory, unsigned) {
        *address = reinterpret_cast<CUdeviceptr>(memory);
        return CUDA_SUCCESS;
    };
    table.cuStreamCreateWithPriority = [](CUstream* stream, unsigned, int) {
        return make("cuStreamCreate", stream);
    };
    table.cuStreamGetId = [](CUstream, unsigned long long* id) {
        *id = 9;
        return CUDA_SUCCESS;
    };
    table.cuStreamDestroy_v2 = [](CUstream) { return fake->called("cuStreamDestroy"); };
    table.cuStreamQuery = [](CUstream) { return fake->called("cuStreamQuery"); };
    table.cuStreamSynchronize = [](CUstream) {
        const CUresult result = fake->called("cuStreamSynchronize");
        if (fake->gate != nullptr) fake->gate->pass();
        return result;
    };
    table.cuCtxSynchronize = [] { return fake->called("cuCtxSynchronize"); };
    table.cuStreamWriteValue64_v2 = [](CUstream, CUdeviceptr address, cuuint64_t value, unsigned) {
        const CUresult result = fake->called("cuStreamWriteValue64");
        if (result == CUDA_SUCCESS) write(address, value);
        return result;
    };
    table.cuMemsetD8Async = [](CUdeviceptr, unsigned char value, std::size_t, CUstream) {
        return fake->called("cuMemsetD8Async " + std::to_string(value));
    };
    table.cuMemcpyHtoDAsync_v2 = [](CUdeviceptr, const void*, std::size_t bytes, CUstream) {
        return fake->called("cuMemcpyHtoDAsync " + std::to_string(bytes));
    };
    table.cuMemAlloc_v2 = [](CUdeviceptr* address, std::size_t) {
        *address = 0x7f0000000000;
        return fake->called("cuMemAlloc");
    };
    table.cuMemFree_v2 = [](CUdeviceptr) { return fake->called("cuMemFree"); };
    table.cuMemGetAddressRange_v2 = [](CUdeviceptr*, std::size_t* bytes, CUdeviceptr) {
        *bytes = 4096;
        return CUDA_SUCCESS;
    };
    table.cuMemGetInfo_v2 = [](std::size_t* free, std::size_t* total) {
        *free = std::size_t{6} << 30;
        *total = std::size_t{8} << 30;
        return CUDA_SUCCESS;
    };
    table.cuMemCreate = [](CUmemGenericAllocationHandle* memory, std::size_t,
                           const CUmemAllocationProp*, unsigned long long) {
        *memory = last_object += 0x10;
        return fake->called("cuMemCreate");
    };
    table.cuMemRelease = [](CUmemGenericAllocationHandle) { return fake->called("cuMemRelease"); };
    table.cuMemMap = [](CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle,
                        unsigned long long) { return fake->called("cuMemMap"); };
    table.cuMemUnmap = [](CUdeviceptr, std::size_t) { return fake->called("cuMemUnmap"); };
    table.cuMemRetainAllocationHandle = [](CUmemGenericAllocationHandle* memory, void*) {
        *memory = last_object += 0x10;
        return fake->called("cuMemRetainAllocationHandle");
    };
    table.cuArray3DCreate_v2 = [](CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR*) {
        return make("cuArray3DCreate", array);
    };
    table.cuArray3DGetDescriptor_v2 = [](CUDA_ARRAY3D_DESCRIPTOR* shape, CUarray) {
        *shape = {};
        return CUDA_SUCCESS;
    };
    table.cuArrayDestroy = [](CUarray) { return fake->called("cuArrayDestroy"); };
    table.cuMipmappedArrayCreate = [](CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR*,
                                      unsigned) { return make("cuMipmappedArrayCreate", array); };
    table.cuMipmappedArrayGetLevel = [](CUarray* level, CUmipmappedArray, unsigned) {
        return make("cuMipmappedArrayGetLevel", level);
    };
    table.cuMipmappedArrayDestroy = [](CUmipmappedArray) {
        return fake->called("cuMipmappedArrayDestroy");
    };
    table.cuSurfObjectCreate = [](CUsurfObject* surface, const CUDA_RESOURCE_DESC*) {
        *surface = 1;
        return fake->called("cuSurfObjectCreate");
    };
    table.cuDeviceGetMemPool = [](CUmemoryPool* current, CUdevice) {
        *current = reinterpret_cast<CUmemoryPool>(0x50);
        return CUDA_SUCCESS;
    };
    // A pool that grows to what it is asked for, and gives back what is free when it is trimmed.
    table.cuMemAllocFromPoolAsync = [](CUdeviceptr* address, std::size_t bytes, CUmemoryPool,
                                       CUstream) {
        *address = 0x7e0000000000;
        const CUresult result = fake->called("cuMemAllocFromPoolAsync");
        if (result == CUDA_SUCCESS) fake->pool.allocate(bytes);
        return result;
    };
    table.cuMemFreeAsync = [](CUdeviceptr, CUstream) {
        fake->pool.used = 0;
        return fake->called("cuMemFreeAsync");
    };
    table.cuMemPoolTrimTo = [](CUmemoryPool, std::size_t) {
        fake->pool.reserved = fake->pool.used.load();
        return fake->called("cuMemPoolTrimTo");
    };
    table.cuMemPoolGetAttribute = [](CUmemoryPool, CUmemPool_attribute attribute, void* value) {
        *static_cast<cuuint64_t*>(value) = attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT
                                               ? fake->pool.reserved.load()
                                               : fake->pool.used.load();
        return CUDA_SUCCESS;
    };
    table.cuModuleLoadDataEx = [](CUmodule* module, const void*, unsigned, CUjit_option*, void**) {
        return make("cuModuleLoadDataEx", module);
    };
    table.cuModuleGetFunction = [](CUfunction* function, CUmodule, const char* name) {
        *function = reinterpret_cast<CUfunction>(0x42);
        return fake->called(std::string("cuModuleGetFunction ") + name);
    };
    // Two parameters of 8 bytes.
    table.cuFuncGetParamInfo = [](CUfunction, std::size_t index, std::size_t* offset,
                                  std::size_t* size) {
        if (index >= 2) return CUDA_ERROR_INVALID_VALUE;
        *offset = index * 8;
        *size = 8;
        return CUDA_SUCCESS;
    };
    table.cuFuncGetAttribute = [](int* value, CUfunction_attribute id, CUfunction) {
        *value = static_cast<int>(id);
        return CUDA_SUCCESS;
    };
    table.cuLaunchKernel = [](CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                              unsigned, unsigned, CUstream, void**, void** extra) {
        const std::size_t bytes = extra != nullptr ? *static_cast<std::size_t*>(extra[3]) : 0;
        return fake->called("cuLaunchKernel " + std::to_string(bytes));
    };
}

FakeDriver::~FakeDriver() {
    fake = nullptr;
}

std::vector<std::string> FakeDriver::calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
}

unsigned FakeDriver::count(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    return static_cast<unsigned>(std::count(calls_.begin(), calls_.end(), name));
}

void FakeDriver::fail(const std::string& name, CUresult error) {
    const std::lock_guard lock(mutex_);
    failures_[name] = error;
}

CUresult FakeDriver::called(const std::string& name) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(name);
    const auto failure = failures_.find(name);
    return failure != failures_.end() ? failure->second : CUDA_SUCCESS;
}

}  // namespace cubar::host::test
