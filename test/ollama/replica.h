// SPDX-License-Identifier: Apache-2.0
// What the replicas of ollama's discovery share. Each calls a library that it has opened by itself,
// as ollama does, and writes what it found in lines of its own:
//   library PATH              the libcuda.so.1 that serves
//   device CC UUID FREE TOTAL NAME
//   seconds S                 from the program's start to the end of its discovery
#pragma once

#include <cuda.h>
#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace ollama_replica {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// A library that is opened here and closed at the end, its functions found by name.
class Library {
public:
    explicit Library(const std::string& path) : handle_(::dlopen(path.c_str(), RTLD_LAZY)) {}
    ~Library() {
        if (handle_ != nullptr) ::dlclose(handle_);
    }
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    bool is_open() const { return handle_ != nullptr; }

    /// False where the library has no such function: for ollama it is then no library to use.
    template <typename Function>
    bool find(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(::dlsym(handle_, name));
        if (function == nullptr) std::fprintf(stderr, "replica: no function %s\n", name);
        return function != nullptr;
    }

private:
    void* handle_;
};

/// The file that a function of an opened library is in.
template <typename Function>
std::string file_of(Function* function) {
    Dl_info info{};
    return ::dladdr(reinterpret_cast<void*>(function), &info) != 0 ? info.dli_fname : "";
}

inline bool succeeded(CUresult result, const char* call) {
    if (result != CUDA_SUCCESS) std::fprintf(stderr, "replica: %s: %d\n", call, result);
    return result == CUDA_SUCCESS;
}

/// What every generation that opens libcuda.so.1 itself asks it; each asks something besides.
struct Driver {
    explicit Driver(const std::string& path) : library(path) {}

    bool finds_functions() {
        return library.is_open() && library.find(init, "cuInit") &&
               library.find(driver_version, "cuDriverGetVersion") &&
               library.find(device_count, "cuDeviceGetCount") &&
               library.find(device_get, "cuDeviceGet") &&
               library.find(attribute, "cuDeviceGetAttribute") &&
               library.find(name, "cuDeviceGetName");
    }
    bool starts() {
        return succeeded(init(0), "cuInit") &&
               succeeded(driver_version(&version), "cuDriverGetVersion") &&
               succeeded(device_count(&count), "cuDeviceGetCount");
    }
    bool get(int ordinal, CUdevice& device, int& major, int& minor) const {
        return succeeded(device_get(&device, ordinal), "cuDeviceGet") &&
               succeeded(attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
                         "major") &&
               succeeded(attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
                         "minor");
    }

    Library library;
    int version = 0;
    int count = 0;
    CUresult (*init)(unsigned) = nullptr;
    CUresult (*driver_version)(int*) = nullptr;
    CUresult (*device_count)(int*) = nullptr;
    CUresult (*device_get)(CUdevice*, int) = nullptr;
    CUresult (*attribute)(int*, CUdevice_attribute, CUdevice) = nullptr;
    CUresult (*name)(char*, int, CUdevice) = nullptr;
};

/// As CUDA_VISIBLE_DEVICES names it.
inline std::string name_of(const CUuuid& uuid) {
    std::string name = "GPU";
    for (int i = 0; i < 16; ++i) {
        char byte[4];
        std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
        if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) name += '-';
        name += byte;
    }
    return name;
}

inline void print_device(int major, int minor, const CUuuid& uuid, size_t free, size_t total,
                         const char* name) {
    std::printf("device %d.%d %s %zu %zu %s\n", major, minor, name_of(uuid).c_str(), free, total,
                name);
}

}  // namespace ollama_replica
