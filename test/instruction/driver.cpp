// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/driver.h"

#include <dlfcn.h>

#include <array>
#include <stdexcept>

#define CUBAR_TEXT_(x) #x
// The exported symbol behind a name that cuda.h maps to a version (cuMemAlloc → cuMemAlloc_v2).
#define CUBAR_TEXT(x) CUBAR_TEXT_(x)

namespace cubar::instruction {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

}  // namespace

template <typename Function>
void Driver::find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (!function) throw std::runtime_error(std::string("the library has no ") + name);
}

void Driver::check(CUresult result, const std::string& what) const {
    if (result == CUDA_SUCCESS) return;
    const char* name = nullptr;
    if (error_name_(result, &name) != CUDA_SUCCESS) name = "an unknown error";
    throw std::runtime_error(what + ": " + name);
}

Driver::Driver(const std::string& library)
    : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!library_) throw std::runtime_error(dlerror());
    find(error_name_, CUBAR_TEXT(cuGetErrorName));
    find(init_, CUBAR_TEXT(cuInit));
    find(device_get_, CUBAR_TEXT(cuDeviceGet));
    find(device_get_name_, CUBAR_TEXT(cuDeviceGetName));
    find(device_get_attribute_, CUBAR_TEXT(cuDeviceGetAttribute));
    find(retain_, CUBAR_TEXT(cuDevicePrimaryCtxRetain));
    find(release_, CUBAR_TEXT(cuDevicePrimaryCtxRelease));
    find(set_current_, CUBAR_TEXT(cuCtxSetCurrent));
    find(synchronize_, CUBAR_TEXT(cuCtxSynchronize));
    find(load_, CUBAR_TEXT(cuModuleLoadDataEx));
    find(unload_, CUBAR_TEXT(cuModuleUnload));
    find(get_function_, CUBAR_TEXT(cuModuleGetFunction));
    find(launch_, CUBAR_TEXT(cuLaunchKernel));
    find(alloc_, CUBAR_TEXT(cuMemAlloc));
    find(free_, CUBAR_TEXT(cuMemFree));
    find(to_device_, CUBAR_TEXT(cuMemcpyHtoD));
    find(to_host_, CUBAR_TEXT(cuMemcpyDtoH));
    check(init_(0), "cuInit");
    check(device_get_(&device_, 0), "cuDeviceGet");
    std::array<char, 128> name{};
    check(device_get_name_(name.data(), static_cast<int>(name.size()), device_), "cuDeviceGetName");
    device_name_ = name.data();
    int major = 0;
    int minor = 0;
    check(device_get_attribute_(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device_),
          "cuDeviceGetAttribute");
    check(device_get_attribute_(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device_),
          "cuDeviceGetAttribute");
    compute_capability_ = 10 * major + minor;
    check(retain_(&context_, device_), "cuDevicePrimaryCtxRetain");
    check(set_current_(context_), "cuCtxSetCurrent");
    check(alloc_(&in_, kBufferBytes), "cuMemAlloc");
    check(alloc_(&out_, kBufferBytes), "cuMemAlloc");
}

Driver::~Driver() {
    free_(in_);
    free_(out_);
    release_(device_);
}

void Driver::run(const std::string& ptx, unsigned blocks, unsigned threads,
                 std::span<const std::byte> in, std::span<std::byte> out) {
    if (in.size() > kBufferBytes || out.size() > kBufferBytes) {
        throw std::runtime_error("the case's buffers are too large");
    }
    std::array<char, 4096> log{};
    std::array options{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    std::array<void*, 2> values{log.data(), reinterpret_cast<void*>(log.size() - 1)};
    CUmodule module = nullptr;
    const CUresult loaded =
        load_(&module, ptx.c_str(), options.size(), options.data(), values.data());
    check(loaded, "cuModuleLoadDataEx: " + std::string(log.data()));
    const auto launch = [&] {
        CUfunction function = nullptr;
        check(get_function_(&function, module, "t"), "cuModuleGetFunction");
        check(to_device_(in_, in.data(), in.size()), "cuMemcpyHtoD");
        check(to_device_(out_, out.data(), out.size()), "cuMemcpyHtoD");
        std::array<void*, 2> arguments{&in_, &out_};
        check(launch_(function, blocks, 1, 1, threads, 1, 1, 0, nullptr, arguments.data(), nullptr),
              "cuLaunchKernel");
        check(synchronize_(), "cuCtxSynchronize");
        check(to_host_(out.data(), out_, out.size()), "cuMemcpyDtoH");
    };
    try {
        launch();
    } catch (...) {
        unload_(module);
        throw;
    }
    check(unload_(module), "cuModuleUnload");
}

}  // namespace cubar::instruction
