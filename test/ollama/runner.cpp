// SPDX-License-Identifier: Apache-2.0
// ollama 0.12 to 0.24: a runner for each variant of the backend in lib/ollama, which finds cudart
// by LD_LIBRARY_PATH, asks it for the devices and, with GGML_CUDA_INIT, has each make a context.
// Free memory is NVML's where that is found, and else cudart's.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "replica.h"

namespace {

using namespace ollama_replica;

bool succeeded(cudaError_t error, const char* call) {
    if (error != cudaSuccess) std::fprintf(stderr, "replica: %s: %d\n", call, error);
    return error == cudaSuccess;
}

struct NvmlMemory {
    unsigned long long total, free, used;
};

/// What NVML says of a device, as ollama asks it.
class Nvml {
public:
    Nvml() : library_("libnvidia-ml.so.1") {
        ready_ = library_.is_open() && library_.find(init_, "nvmlInit_v2") &&
                 library_.find(shutdown_, "nvmlShutdown") &&
                 library_.find(by_uuid_, "nvmlDeviceGetHandleByUUID") &&
                 library_.find(memory_, "nvmlDeviceGetMemoryInfo") &&
                 library_.find(name_, "nvmlDeviceGetName") &&
                 library_.find(text_, "nvmlErrorString") && done(init_());
    }
    ~Nvml() {
        if (ready_) shutdown_();
    }
    Nvml(const Nvml&) = delete;
    Nvml& operator=(const Nvml&) = delete;

    bool memory(const std::string& uuid, size_t& free, size_t& total) const {
        void* device = nullptr;
        NvmlMemory memory{};
        char name[96] = "";
        if (!ready_ || !done(by_uuid_(uuid.c_str(), &device)) || !done(memory_(device, &memory)) ||
            !done(name_(device, name, sizeof name))) {
            return false;
        }
        std::printf("nvml %llu %s\n", memory.total, name);
        free = memory.free;
        total = memory.total;
        return true;
    }

private:
    bool done(int result) const {
        if (result != 0) std::fprintf(stderr, "replica: NVML: %s\n", text_(result));
        return result == 0;
    }

    Library library_;
    bool ready_ = false;
    int (*init_)() = nullptr;
    int (*shutdown_)() = nullptr;
    int (*by_uuid_)(const char*, void**) = nullptr;
    int (*memory_)(void*, NvmlMemory*) = nullptr;
    int (*name_)(void*, char*, unsigned) = nullptr;
    const char* (*text_)(int) = nullptr;
};

struct Runtime {
    Library library{"libcudart.so.13"};
    cudaError_t (*count)(int*) = nullptr;
    cudaError_t (*properties)(cudaDeviceProp*, int) = nullptr;
    cudaError_t (*choose)(int) = nullptr;
    cudaError_t (*memory)(size_t*, size_t*) = nullptr;

    bool usable() {
        return library.is_open() && library.find(count, "cudaGetDeviceCount") &&
               library.find(properties, "cudaGetDeviceProperties") &&
               library.find(choose, "cudaSetDevice") && library.find(memory, "cudaMemGetInfo");
    }
};

bool show(const Runtime& runtime, const Nvml& nvml, int ordinal, bool initialise) {
    cudaDeviceProp properties{};
    if (!succeeded(runtime.properties(&properties, ordinal), "cudaGetDeviceProperties"))
        return false;
    CUuuid uuid{};
    std::memcpy(&uuid, &properties.uuid, sizeof uuid);
    size_t free = 0;
    size_t total = 0;
    const bool by_nvml = nvml.memory(name_of(uuid), free, total);
    if ((initialise || !by_nvml) && (!succeeded(runtime.choose(ordinal), "cudaSetDevice") ||
                                     !succeeded(runtime.memory(&free, &total), "cudaMemGetInfo"))) {
        return false;
    }
    print_device(properties.major, properties.minor, uuid, free, total, properties.name);
    return true;
}

}  // namespace

int main() {
    const auto begin = Clock::now();
    Runtime runtime;
    if (!runtime.usable()) {
        std::fprintf(stderr, "replica: no cudart: %s\n", ::dlerror());
        return 1;
    }
    int count = 0;
    if (!succeeded(runtime.count(&count), "cudaGetDeviceCount")) {
        std::puts("no library");
        return 0;
    }
    const Library driver("libcuda.so.1");  // the one that cudart has opened
    CUresult (*init)(unsigned) = nullptr;
    if (!driver.is_open() || !driver.find(init, "cuInit")) return 1;
    std::printf("library %s\n", file_of(init).c_str());
    const Nvml nvml;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        if (!show(runtime, nvml, ordinal, std::getenv("GGML_CUDA_INIT") != nullptr)) return 1;
    }
    std::printf("seconds %.3f\n", seconds_since(begin));
    return 0;
}
