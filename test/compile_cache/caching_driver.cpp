// SPDX-License-Identifier: Apache-2.0
// softgpu with a compile cache such as NVIDIA's driver keeps: CUDA_CACHE_PATH has an index, locked
// and written in place, and a file for each image in one of 16 directories. Loading an image that
// is not there "compiles" it, which shows as a line more in the index.

#include <cuda.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

/// The headers of a fatbin, which tell one program's from another's. No fatbin is shorter.
constexpr std::size_t kKeyBytes = 80;

std::uint64_t key_of(const void* image) {
    std::uint64_t key = 0xcbf2'9ce4'8422'2325;
    for (const unsigned char byte :
         std::span(static_cast<const unsigned char*>(image), kKeyBytes)) {
        key = (key ^ byte) * 0x100'0000'01b3;
    }
    return key;
}

void compile(const std::string& cache, std::uint64_t key) {
    char name[17];
    std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(key));
    const std::string directory = cache + "/" + name[15];
    const int index = ::open((cache + "/index").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    if (index < 0 || ::fcntl(index, F_SETLKW, &lock) != 0) {
        return;  // as the driver: without a word
    }
    ::mkdir(directory.c_str(), 0700);
    const int kernel =
        ::open((directory + "/" + name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (kernel >= 0) {
        static const char kMachineCode[65536] = {};
        const std::string line = std::string(name) + "\n";
        const bool kept =
            ::write(kernel, kMachineCode, sizeof kMachineCode) == sizeof kMachineCode &&
            ::lseek(index, 0, SEEK_END) >= 0 &&
            ::write(index, line.data(), line.size()) == static_cast<ssize_t>(line.size());
        if (!kept) {
            std::fprintf(stderr, "the cache takes no more\n");
        }
        ::close(kernel);
    }
    ::close(index);
}

void have_compiled(const void* image) {
    const char* cache = std::getenv("CUDA_CACHE_PATH");
    const char* disabled = std::getenv("CUDA_CACHE_DISABLE");
    if (cache != nullptr && (disabled == nullptr || std::strcmp(disabled, "1") != 0)) {
        compile(cache, key_of(image));
    }
}

/// All else is called by name: without a symbol of softgpu the linker would leave it out.
[[gnu::used]] constexpr auto kBringsSoftgpu = &cuInit;

template <typename Function>
Function real(const char* name) {
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

EXPORT CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned count,
                                   CUjit_option* options, void** values) {
    have_compiled(image);
    return real<decltype(&cuModuleLoadDataEx)>("cuModuleLoadDataEx")(module, image, count, options,
                                                                     values);
}

EXPORT CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jit_options,
                                  void** jit_values, unsigned jit_count, CUlibraryOption* options,
                                  void** values, unsigned count) {
    have_compiled(code);
    return real<decltype(&cuLibraryLoadData)>("cuLibraryLoadData")(
        library, code, jit_options, jit_values, jit_count, options, values, count);
}
