// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cubar::instruction {

// The few calls of the driver API that run a kernel, from whichever libcuda.so.1 is being tested.
// Throws std::runtime_error with the call's name and error when one fails.
class Driver {
public:
    explicit Driver(const std::string& library);
    ~Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    // Loads the PTX and runs its kernel `t(in, out)` on blocks × threads: `in` is copied to the
    // device, `out` is copied there and back. The JIT log is in the message of an error.
    void run(const std::string& ptx, unsigned blocks, unsigned threads,
             std::span<const std::byte> in, std::span<std::byte> out);

    const std::string& device_name() const { return device_name_; }
    int compute_capability() const { return compute_capability_; }

private:
    template <typename Function>
    void find(Function& function, const char* name);
    void check(CUresult result, const std::string& what) const;

    void* library_ = nullptr;
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
    CUdeviceptr in_ = 0;
    CUdeviceptr out_ = 0;
    std::string device_name_;
    int compute_capability_ = 0;

    decltype(&cuInit) init_ = nullptr;
    decltype(&cuDeviceGet) device_get_ = nullptr;
    decltype(&cuDeviceGetName) device_get_name_ = nullptr;
    decltype(&cuDeviceGetAttribute) device_get_attribute_ = nullptr;
    decltype(&cuDevicePrimaryCtxRetain) retain_ = nullptr;
    decltype(&cuDevicePrimaryCtxRelease) release_ = nullptr;
    decltype(&cuCtxSetCurrent) set_current_ = nullptr;
    decltype(&cuCtxSynchronize) synchronize_ = nullptr;
    decltype(&cuModuleLoadDataEx) load_ = nullptr;
    decltype(&cuModuleUnload) unload_ = nullptr;
    decltype(&cuModuleGetFunction) get_function_ = nullptr;
    decltype(&cuLaunchKernel) launch_ = nullptr;
    decltype(&cuMemAlloc) alloc_ = nullptr;
    decltype(&cuMemFree) free_ = nullptr;
    decltype(&cuMemcpyHtoD) to_device_ = nullptr;
    decltype(&cuMemcpyDtoH) to_host_ = nullptr;
    decltype(&cuGetErrorName) error_name_ = nullptr;
};

}  // namespace cubar::instruction
