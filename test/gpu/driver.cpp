// SPDX-License-Identifier: Apache-2.0
#include "test/gpu/driver.h"

#include <dlfcn.h>

#include <stdexcept>

// The exported symbol behind a name that cuda.h maps to a version (cuMemAlloc → cuMemAlloc_v2).
#define CUBAR_TEXT_(name) #name
#define CUBAR_TEXT(name) CUBAR_TEXT_(name)

namespace cubar::probe {
namespace {

Driver loaded;

}  // namespace

void load_driver(const std::string& library) {
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(dlerror());
#define CUBAR_FIND(name)                                                                    \
    loaded.name = reinterpret_cast<decltype(loaded.name)>(dlsym(handle, CUBAR_TEXT(name))); \
    if (loaded.name == nullptr) loaded.missing += std::string(" ") + CUBAR_TEXT(name);
    CUBAR_PROBED_FUNCTIONS(CUBAR_FIND)
#undef CUBAR_FIND
    if (!loaded.missing.empty()) throw std::runtime_error("the library lacks" + loaded.missing);
}

const Driver& cu() {
    return loaded;
}

std::string name_of(CUresult result) {
    const char* name = nullptr;
    if (loaded.cuGetErrorName(result, &name) == CUDA_SUCCESS && name != nullptr) return name;
    return "error " + std::to_string(static_cast<int>(result));
}

}  // namespace cubar::probe
