// SPDX-License-Identifier: Apache-2.0
#include "host/worker/driver.h"

#include <dlfcn.h>

namespace cubar::host {

std::string Driver::load(const std::string& path) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* reason = dlerror();
        return reason != nullptr ? reason : "dlopen failed";
    }
#define CUBAR_DRIVER_FUNCTION(function) \
    function = reinterpret_cast<decltype(&::function)>(dlsym(library, #function));
    CUBAR_DRIVER_FUNCTIONS(CUBAR_DRIVER_FUNCTION)
#undef CUBAR_DRIVER_FUNCTION
    if (cuInit == nullptr || cuDriverGetVersion == nullptr) {
        return path + " is not a CUDA driver: it has no cuInit";
    }
    return {};
}

}  // namespace cubar::host
